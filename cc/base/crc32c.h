// CRC-32C (Castagnoli, polynomial 0x1EDC6F41), the checksum of our file blocks.
#ifndef STEPWELL_CC_BASE_CRC32C_H_
#define STEPWELL_CC_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>

namespace stepwell {

// Returns the CRC-32C of the bytes seen so far followed by `size` bytes at
// `data`.
//
// `crc` is the value for the bytes so far, 0 at the start, so that a long block
// can be summed in pieces. Concurrency: pure. Cost: below memory's where carry-less
// multiplication is wide (AVX-512, chosen at run time), about 0.15 ns a byte with
// SSE4.2 alone and 2.5 ns a byte by table. Source: RFC 3720, appendix B.4; Gopal et
// al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

namespace internal {

// The implementations, for tests. Each but the first needs a processor with it: SSE4.2;
// PCLMULQDQ as well; VPCLMULQDQ and AVX-512 F and VL as well.
uint32_t ExtendCrc32cByTable(uint32_t crc, const void* data, size_t size);
uint32_t ExtendCrc32cBySse42(uint32_t crc, const void* data, size_t size);
uint32_t ExtendCrc32cByThreeStreams(uint32_t crc, const void* data, size_t size);
uint32_t ExtendCrc32cByAvx512(uint32_t crc, const void* data, size_t size);

}  // namespace internal
}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_CRC32C_H_
