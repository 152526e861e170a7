/* What a program would find that was built for another library: one that is older, or has another major number. It lacks
 * most functions. */
#include <stdint.h>

const char *clerk_version(void) { return OTHER_VERSION; }
uint32_t clerk_abi_version(void) { return OTHER_ABI; }
