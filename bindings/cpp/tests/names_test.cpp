// Each name of the C header is here, in lower case, and no other; each number is the header's because it is taken from
// it.
#include <clerk_auth.hpp>
#include "sim.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace {

using Names = std::map<std::string, std::set<std::string>>;

std::string text_of(const std::string &path) {
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string lower(std::string text) {
    for (char &c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::vector<std::smatch> all(const std::string &text, const std::string &pattern) {
    const std::regex regex(pattern);
    return {std::sregex_iterator(text.begin(), text.end(), regex), std::sregex_iterator()};
}

// `typedef enum clerk_x … { CLERK_X_NAME = 1, … }`: X → names in lower case. Statuses have no prefix of their own.
Names of_c() {
    const std::string header = text_of(from_test_sh("CLERK_STAGE") + "/include/clerk_auth.h");
    Names names;
    for (const std::smatch &found : all(header, "enum clerk_(\\w+)[^{;]*\\{([^}]*)\\}")) {
        const std::string kind = found[1], body = found[2];
        std::string prefix = kind == "status" ? "CLERK_" : "CLERK_" + kind + "_";
        for (char &c : prefix) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        for (const std::smatch &member : all(body, prefix + "(\\w+) = -?\\d+")) names[kind].insert(lower(member[1]));
    }
    // For the C callback only.
    names.erase("store_status");
    names.erase("cache_status");
    return names;
}

// `enum class X : int32_t { name = CLERK_X_NAME, … }`; names that do not fit their number's name are left out.
Names of_cpp() {
    const std::string header = text_of(std::string(SOURCE) + "/include/clerk_auth/enums.hpp");
    Names names;
    for (const std::smatch &found : all(header, "enum class (\\w+) : int32_t \\{([^}]*)\\}")) {
        const std::string camel = found[1], body = found[2];
        if (camel == "Outcome") continue;
        std::string kind;
        for (const char c : camel)
            kind +=
                std::isupper(static_cast<unsigned char>(c)) && !kind.empty() ? std::string("_") + c : std::string(1, c);
        kind = lower(kind);
        const std::string prefix = kind == "status" ? "clerk_" : "clerk_" + kind + "_";
        for (const std::smatch &member : all(body, "(\\w+) = (\\w+)"))
            if (lower(member[2]) == prefix + member[1].str()) names[kind].insert(member[1]);
    }
    return names;
}

} // namespace

TEST(Names, EnumerationsMatchTheHeader) {
    const Names c = of_c(), cpp = of_cpp();
    EXPECT_EQ(c.size(), 17U);
    EXPECT_EQ(c.at("reason").size(), 35U);
    EXPECT_EQ(c.at("status").size(), 19U);
    EXPECT_EQ(c, cpp);
}

TEST(Names, EverySetterPassesItsName) {
    const std::string header = text_of(std::string(SOURCE) + "/include/clerk_auth/config.hpp");
    std::set<std::string> names;
    for (const std::smatch &setter :
         all(header, "Config &(\\w+)\\([^)]*\\) \\{ return (?:set|set_int|list|token_kinds)\\(\"(\\w+)\"")) {
        EXPECT_EQ(setter[1], setter[2]);
        names.insert(setter[1]);
    }
    std::set<std::string> wanted;
    clerk_setting info = CLERK_SETTING_INIT;
    for (std::size_t index = 0; clerk_setting_info(index, &info) == CLERK_OK; index++) wanted.insert(info.name.data);
    EXPECT_EQ(names, wanted);
}

TEST(Names, EveryFunctionOfTheLibraryIsUsed) {
    std::string here;
    for (const char *part : {"base", "enums", "error", "request", "callbacks", "events", "user_store", "config", "result",
                             "webhook", "pending", "client"})
        here += text_of(std::string(SOURCE) + "/include/clerk_auth/" + part + ".hpp");
    const std::string header = text_of(from_test_sh("CLERK_STAGE") + "/include/clerk_auth.h");
    std::set<std::string> unused, functions;
    for (const std::smatch &function : all(header, "\\n[^/#\\n ][^\\n(]*[ *](clerk_\\w+)\\(")) {
        functions.insert(function[1]);
        if (!std::regex_search(here, std::regex("\\b" + function[1].str() + "\\b"))) unused.insert(function[1]);
    }
    EXPECT_GT(functions.size(), 80U);
    // An Error has its status as well, a string its length; the names of settings are for tests. A Poller has a thread of its own, the
    // database is a setting, sums are for servers of several processes, and an engine of the application is in C.
    EXPECT_EQ(unused, (std::set<std::string>{"clerk_client_start_poller", "clerk_config_set_database", "clerk_config_set_shared_cache",
                                             "clerk_error_status", "clerk_setting_info", "clerk_stats_add",
                                             "clerk_stats_metrics_text", "clerk_str_of"}));
}

TEST(Names, EnumerationsHaveTheLibrarysNames) {
    EXPECT_EQ(clerk::name(clerk::Reason::token_expired), "token-expired");
    EXPECT_EQ(clerk::name(clerk::Category::forbidden), "forbidden");
    EXPECT_EQ(clerk::name(clerk::Source::cache), "cache");
    EXPECT_EQ(clerk::name(clerk::TokenKind::m2m_token), "m2m_token");
    EXPECT_EQ(clerk::name(clerk::EventKind::auth_success), "auth_success");
    EXPECT_EQ(clerk::name(clerk::Endpoint::oauth_tokens), "oauth_tokens");
    EXPECT_EQ(clerk::name(clerk::CallStatus::rate_limited), "rate_limited");
    EXPECT_EQ(clerk::name(clerk::SharedCacheState::unavailable), "unavailable");
    EXPECT_EQ(clerk::name(clerk::Status::e_config), "CLERK_E_CONFIG");
    EXPECT_EQ(clerk::name(clerk::Outcome::no_credentials), "no-credentials");
    EXPECT_EQ(clerk::category(clerk::Reason::user_inactive), clerk::Category::forbidden);
    EXPECT_EQ(clerk::name(static_cast<clerk::Reason>(999)), "");
}
