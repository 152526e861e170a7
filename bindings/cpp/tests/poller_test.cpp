// Poller: what one process revokes is rejected by another, and the thread ends with its object.
#include "process.hpp"
#include "sim.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

using clerk::Client;
using Clock = std::chrono::steady_clock;

namespace {

uint16_t free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), size), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

// A redis-server that ends with this object.
class Redis {
public:
    Redis()
        : port_(std::to_string(free_port())),
          process_({"/bin/sh", "-c",
                    "redis-server --port " + port_ +
                        " --bind 127.0.0.1 --save '' --appendonly no --daemonize no & cat > /dev/null; kill $!; wait"}) {
        for (std::string line = process_.line(); line.find("Ready to accept") == std::string::npos; line = process_.line())
            if (line.empty()) throw std::runtime_error("redis-server has not started");
    }
    // In time for the shell to end the server.
    ~Redis() { process_.end(); }
    Redis(const Redis &) = delete;
    Redis &operator=(const Redis &) = delete;
    std::string url() const { return "redis://127.0.0.1:" + port_; }

private:
    std::string port_;
    Process process_;
};

clerk::Config config_with(const std::string &shared_cache) {
    clerk::Config config = sim::config();
    config.shared_cache(shared_cache);
    return config;
}

double seconds_since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

const char *from_parent(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
}

} // namespace

// The other process: run by the test below only.
TEST(Poller, DISABLED_Other) {
    clerk::Config config;
    config.secret_key("sk_test_simulated").api_url(from_parent("TEST_API_URL")).shared_cache(from_parent("TEST_SHARED_CACHE"));
    const Client client(config);
    const clerk::Poller poller(client);
    const std::string token = from_parent("TEST_TOKEN");
    std::cout << "other: " << ask(client, token) << std::endl;
    const Clock::time_point begun = Clock::now();
    while (seconds_since(begun) < 10 && ask(client, token).substr(0, 2) == "in")
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::cout << "other: " << ask(client, token) << std::endl;
}

TEST(Poller, RevocationInOneProcessIsAppliedByAnother) {
    sim::reset();
    const Redis redis;
    const Client client(config_with(redis.url()));
    const std::string token = sim::token({{"user", "user_1"}, {"sid", "sess_1"}});
    const clerk::Result result = client.verify_token(token);
    const std::string session(*result.session_id());
    Process other({"/proc/self/exe", "--gtest_filter=Poller.DISABLED_Other", "--gtest_also_run_disabled_tests"},
                  {{"TEST_API_URL", sim::url()}, {"TEST_SHARED_CACHE", redis.url()}, {"TEST_TOKEN", token}});
    const auto next = [&] {
        std::string line = other.line();
        while (!line.empty() && line.find("other: ") != 0) line = other.line();
        return line.substr(0, line.find('\n'));
    };
    ASSERT_EQ(next(), "other: in verified");
    const Clock::time_point begun = Clock::now();
    client.revoke_session(session);
    EXPECT_EQ(next(), "other: out session-revoked");
    EXPECT_LT(seconds_since(begun), 1.0);
    EXPECT_EQ(other.end(), 0);
}

TEST(Poller, DestructorEndsAPollThatWaits) {
    const Redis redis;
    const Client client(config_with(redis.url()));
    const Clock::time_point begun = Clock::now();
    {
        clerk::Poller poller(client);
        clerk::Poller moved = std::move(poller);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_LT(seconds_since(begun), 1.0);
    const clerk::SharedCacheStats stats = client.stats().shared_cache();
    EXPECT_EQ(stats.state, clerk::SharedCacheState::available);
    EXPECT_EQ(stats.hits + stats.misses + stats.errors + stats.rejected, 0u);
    EXPECT_FALSE(stats.revocation_lag.has_value());
}

TEST(Poller, WithoutSharedCacheIsAConfigError) {
    const Client client(sim::config());
    EXPECT_EQ(clerk::Poller::make(client).error().status(), clerk::Status::e_config);
}
