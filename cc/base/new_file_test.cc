#include "cc/base/new_file.h"

#include <dirent.h>

#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

namespace stepwell {
namespace {

class NewFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "/new_file_test.XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder + "/file";
  }

  std::string Content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  int NumFiles() const {
    DIR* folder = opendir(folder_.c_str());
    int count = 0;
    while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(NewFileTest, APublishedFileHasItsBytesAndZerosWhereNothingWasWritten) {
  const auto file = *NewFile::Create(path_);
  ASSERT_TRUE(file->WriteAt(2, {"ab", 2}).ok());
  ASSERT_TRUE(file->SetSize(6).ok());
  ASSERT_TRUE(file->Publish().ok());
  EXPECT_EQ(Content(), std::string("\0\0ab\0\0", 6));
  EXPECT_EQ(NumFiles(), 1);
}

TEST_F(NewFileTest, ADroppedFileLeavesTheOlderOneAndNothingElse) {
  std::ofstream(path_) << "older";
  {
    const auto file = *NewFile::Create(path_);
    ASSERT_TRUE(file->WriteAt(0, {"newer", 5}).ok());
  }
  EXPECT_EQ(Content(), "older");
  EXPECT_EQ(NumFiles(), 1);
}

TEST_F(NewFileTest, AFolderThatIsNotThereIsUnavailableAndNamed) {
  const absl::Status status = NewFile::Create(folder_ + "/none/file").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("/none/file"), absl::string_view::npos);
}

TEST_F(NewFileTest, ANameThatIsAFolderIsRefusedAndTheTemporaryFileRemoved) {
  {
    const auto file = *NewFile::Create(folder_);
    EXPECT_EQ(file->Publish().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(NumFiles(), 0);
}

}  // namespace
}  // namespace stepwell
