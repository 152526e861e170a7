#include <clerk_auth.h>

#include <stdio.h>

int main(void)
{
    if (clerk_abi_version() >> 16 != CLERK_ABI_MAJOR || (clerk_abi_version() & 0xffff) < CLERK_ABI_MINOR) {
        fprintf(stderr, "clerk-auth %s does not match this program\n", clerk_version());
        return 1;
    }
    printf("clerk-auth %s, ABI %d.%d\n", clerk_version(), (int)(clerk_abi_version() >> 16), (int)(clerk_abi_version() & 0xffff));
    return 0;
}
