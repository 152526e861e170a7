// For the tests of applications: session tokens that are real, signed with a key of this process. Nothing leaves the process.
//
//     clerk::testing::Clerk clerk;
//     clerk::Client client(clerk.config());
//     std::string line = "Bearer " + clerk.token(clerk::testing::Token("user_ada").org("org_1", "org:admin"));
//     clerk::Result result = client.authenticate(clerk::Request(line));
//
// Needs OpenSSL 3: link with -lcrypto.
#ifndef CLERK_AUTH_TESTING_HPP
#define CLERK_AUTH_TESTING_HPP

#include "config.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

CLERK_AUTH_NAMESPACE_BEGIN

namespace testing {

// What a session token says. Strings must not contain quotes, backslashes or control characters.
class Token {
public:
    explicit Token(std::string user_id) : user_id_(std::move(user_id)) {}

    // The active organization, with the user's role and permissions, such as "org:admin" and "org:invoices:create".
    Token &org(std::string id, std::string role = "org:member", std::vector<std::string> permissions = {}) {
        org_id_ = std::move(id);
        org_role_ = std::move(role);
        org_permissions_ = std::move(permissions);
        return *this;
    }
    Token &session(std::string id) {
        session_id_ = std::move(id);
        return *this;
    }
    // Negative for a token that has expired. A minute by default.
    Token &expires_in(std::chrono::seconds seconds) {
        expires_in_s_ = static_cast<long>(seconds.count());
        return *this;
    }

private:
    friend class Clerk;

    std::string user_id_;
    std::string org_id_;
    std::string org_role_;
    std::vector<std::string> org_permissions_;
    std::string session_id_ = "sess_test";
    long expires_in_s_ = 60;
};

// A Clerk instance without a server: clients verify its tokens with its public key. For user mode `claims`.
class Clerk {
public:
    Clerk() : key_(EVP_RSA_gen(2048), &EVP_PKEY_free) {
        if (key_ == nullptr) std::abort();
    }

    // The public key as PEM, for the setting jwt_key.
    std::string jwt_key() const {
        const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
        char *data = nullptr;
        if (memory == nullptr || PEM_write_bio_PUBKEY(memory.get(), key_.get()) != 1) std::abort();
        const long length = BIO_get_mem_data(memory.get(), &data);
        return std::string(data, static_cast<std::size_t>(length));
    }

    // The settings of a client that accepts the tokens of this instance, and of no other.
    Config config() const {
        Config config;
        config.jwt_key(jwt_key()).issuer({issuer}).authorized_parties({party});
        return config;
    }

    // Returns a session token. The claims are those of version 1.
    std::string token(const Token &token) const {
        const long now = static_cast<long>(std::time(nullptr));
        const long issued = token.expires_in_s_ < 60 ? now + token.expires_in_s_ - 60 : now;
        std::string claims = "{\"azp\":\"" + std::string(party) + "\",\"exp\":" + std::to_string(now + token.expires_in_s_) +
                             ",\"fva\":[0,-1],\"iat\":" + std::to_string(issued) + ",\"iss\":\"" + std::string(issuer) +
                             "\",\"nbf\":" + std::to_string(issued - 10) + ",\"sid\":\"" + token.session_id_ + "\",\"sub\":\"" +
                             token.user_id_ + "\"";
        if (!token.org_id_.empty()) {
            claims += ",\"org_id\":\"" + token.org_id_ + "\",\"org_role\":\"" + token.org_role_ + "\",\"org_permissions\":[";
            for (const std::string &permission : token.org_permissions_)
                claims += (&permission == &token.org_permissions_.front() ? "\"" : ",\"") + permission + "\"";
            claims += "]";
        }
        return sign(claims + "}");
    }

    // Returns a token with exactly these claims, a JSON object.
    std::string sign(std::string_view claims) const {
        const std::string text = base64url(R"({"alg":"RS256","kid":"ins_test","typ":"JWT"})") + "." + base64url(claims);
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
        std::string signature(256, '\0');
        std::size_t length = signature.size();
        if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
            EVP_DigestSign(context.get(), reinterpret_cast<unsigned char *>(&signature[0]), &length,
                           reinterpret_cast<const unsigned char *>(text.data()), text.size()) != 1)
            std::abort();
        signature.resize(length);
        return text + "." + base64url(signature);
    }

private:
    static constexpr const char *issuer = "https://clerk.test.example";
    static constexpr const char *party = "https://app.test.example";

    static std::string base64url(std::string_view data) {
        std::string encoded(4 * ((data.size() + 2) / 3) + 1, '\0');
        const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char *>(&encoded[0]),
                                           reinterpret_cast<const unsigned char *>(data.data()), static_cast<int>(data.size()));
        encoded.resize(static_cast<std::size_t>(length));
        while (!encoded.empty() && encoded.back() == '=') encoded.pop_back();
        for (char &letter : encoded) letter = letter == '+' ? '-' : letter == '/' ? '_' : letter;
        return encoded;
    }

    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
};

} // namespace testing

CLERK_AUTH_NAMESPACE_END

#endif
