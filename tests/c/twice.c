/* The header twice in one file, and in C and C++ in one program. */
#include "clerk_auth.h"
#include "clerk_auth.h"

/* twice.cpp */
int32_t from_cpp(clerk_config *config);

int main(void) {
    clerk_config *config = clerk_config_new();
    int32_t status = from_cpp(config);
    clerk_config_free(config);
    clerk_request request = CLERK_REQUEST_INIT;
    return config != NULL && status == CLERK_E_CONFIG && request.struct_size == sizeof(clerk_request) ? 0 : 1;
}
