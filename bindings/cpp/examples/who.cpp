#include <clerk_auth.hpp>
#include <iostream>

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const clerk::Client client(clerk::Config().from_env());                    // CLERK_SECRET_KEY and others
    const clerk::Result result = client.authenticate(clerk::Request(argv[1])); // "Bearer eyJ..."
    if (result.signed_in())
        std::cout << result.user_id().value_or("a machine") << '\n';
    else
        std::cout << "not signed in: " << result.reason_name() << '\n';
    return result.signed_in() ? 0 : 1;
}
