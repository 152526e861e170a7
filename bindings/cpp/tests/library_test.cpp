// The library that is loaded: the right one, an older one, one of another major number.
#include "process.hpp"
#include "sim.hpp"

#include <gtest/gtest.h>

TEST(Library, OtherVersionIsRejectedWithBothVersions) {
    const std::string examples = EXAMPLES, here = clerk_version();
    const std::string wanted = std::to_string(CLERK_ABI_MAJOR) + "." + std::to_string(CLERK_ABI_MINOR);
    const std::vector<std::pair<std::string, std::string>> others{{"older", "0.0.9 (binary interface 0.0)"},
                                                                  {"major", "7.1.0 (binary interface 7.1)"}};
    for (const auto &[name, version] : others) {
        Process other({examples + "/who", "Bearer x"}, {{"LD_LIBRARY_PATH", examples + "/" + name}});
        const std::string said = other.rest();
        EXPECT_NE(other.end(), 0);
        EXPECT_NE(said.find("libclerk_auth " + version + " is loaded, but this program was built for " + here +
                            " (binary interface " + wanted + ")"),
                  std::string::npos)
            << said;
    }
}

TEST(Library, MissingLibraryIsNamedByTheLoader) {
    Process missing({std::string(EXAMPLES) + "/who", "Bearer x"}, {{"LD_LIBRARY_PATH", "/nonexistent"}});
    const std::string said = missing.rest();
    EXPECT_EQ(missing.end(), 127);
    EXPECT_NE(said.find("libclerk_auth.so.0"), std::string::npos) << said;
}

TEST(Library, LibraryAndHeaderHaveOneVersion) {
    EXPECT_EQ(clerk_abi_version(), static_cast<uint32_t>(CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR));
    EXPECT_FALSE(clerk::detail::check_library_version());
}
