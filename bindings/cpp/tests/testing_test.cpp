// The helper for the tests of applications: its tokens are accepted by their own instance only.
#include <clerk_auth.hpp>
#include <clerk_auth/testing.hpp>

#include <gtest/gtest.h>

using clerk::testing::Token;

namespace {

const char *reason_of(const clerk::Client &client, const std::string &token) {
    const std::string line = "Bearer " + token;
    const clerk::Result result = client.authenticate(clerk::Request(line));
    return result.signed_in() ? "" : result.reason_name().data();
}

TEST(Testing, token_is_accepted_by_its_own_instance_only) {
    const clerk::testing::Clerk own, other;
    const clerk::Client client(own.config());
    EXPECT_STREQ(reason_of(client, own.token(Token("user_ada"))), "");
    EXPECT_STREQ(reason_of(client, other.token(Token("user_ada"))), "token-invalid-signature");
    const Token expired = Token("user_ada").expires_in(std::chrono::seconds(-60));
    EXPECT_STREQ(reason_of(client, own.token(expired)), "token-expired");
}

TEST(Testing, token_has_its_organization) {
    const clerk::testing::Clerk clerk;
    const clerk::Client client(clerk.config());
    const std::string line =
        "Bearer " + clerk.token(Token("user_ada").org("org_1", "org:admin", {"org:invoices:read", "org:invoices:create"}));
    const clerk::Result result = client.authenticate(clerk::Request(line));
    ASSERT_TRUE(result.signed_in());
    EXPECT_EQ(result.user_id().value_or(""), "user_ada");
    EXPECT_EQ(result.org_id().value_or(""), "org_1");
    EXPECT_TRUE(result.has_role("org:admin") && result.has_permission("org:invoices:create"));
    EXPECT_FALSE(result.has_permission("org:invoices:delete"));
}

} // namespace
