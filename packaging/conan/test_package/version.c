#include <clerk_auth.h>
#include <stdio.h>

int main(void)
{
    clerk_config *config = clerk_config_new();
    printf("clerk-auth %s\n", clerk_version());
    clerk_config_free(config);
    return config == NULL;
}
