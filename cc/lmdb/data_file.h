// Looks at LMDB's file before it is mapped: a map of a file that was cut short ends the
// process with SIGBUS where a page of it is missing.
#ifndef STEPWELL_CC_LMDB_DATA_FILE_H_
#define STEPWELL_CC_LMDB_DATA_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace stepwell::lmdb {

// OK for an environment's data.mdb that has all the pages it needs, and where there is
// none yet; DataLoss for one that was cut short or does not begin as such a file does.
//
// Cost: two small reads where the file is as long as it says. LMDB may leave the last
// pages unwritten when nothing needs them; a shorter file is walked, each page once.
// Concurrency: other processes may write to it meanwhile.
absl::Status CheckDataFile(const std::string& folder);

}  // namespace stepwell::lmdb

#endif  // STEPWELL_CC_LMDB_DATA_FILE_H_
