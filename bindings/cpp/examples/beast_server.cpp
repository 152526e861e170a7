// beast_server - an asynchronous server on Boost.Beast whose users sign in with Clerk.
//
//     export CLERK_SECRET_KEY=sk_test_...
//     beast_server 8080
//
//     GET /           signed in only: the user id
//     GET /stats      cached results, and verified requests
//
// One thread serves all connections and never blocks: it uses cached results inline. Requests that need Clerk run in a
// thread pool. Exits when standard input ends.
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <clerk_auth/beast.hpp>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <thread>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

// Requests that may wait for Clerk at once.
constexpr std::size_t waiting_threads = 8;
constexpr std::size_t max_headers = 64 * 1024;

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(Tcp::socket socket, clerk::Client client, asio::thread_pool &pool)
        : stream_(std::move(socket)), client_(std::move(client)), pool_(pool) {}

    void read() {
        parser_.emplace();
        parser_->header_limit(max_headers);
        stream_.expires_after(std::chrono::seconds(30));
        http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](beast::error_code error, std::size_t) {
            if (!error) self->authenticate();
        });
    }

private:
    using Who = clerk::Expected<clerk::Result>;

    void authenticate() {
        const auto &request = parser_->get();
        auto cached = client_.try_authenticate_cached(request);
        if (!cached.has_value()) return respond(cached.error());
        if (cached->has_value()) return respond(std::move(**cached));
        // The pool receives views only: the request must not move until it is done.
        asio::post(pool_, [self = shared_from_this()] {
            auto found = std::make_shared<Who>(self->client_.try_authenticate(self->parser_->get()));
            asio::post(self->stream_.get_executor(), [self, found] { self->respond(std::move(*found)); });
        });
    }

    void respond(Who who) {
        response_ = {};
        response_.version(parser_->get().version());
        response_.keep_alive(parser_->get().keep_alive());
        response_.set(http::field::content_type, "text/plain");
        if (!who.has_value()) {
            std::clog << std::string(who.error().what()) + "\n";
            response_.result(http::status::internal_server_error);
        } else if (!who->signed_in()) {
            clerk::reject(*who, response_);
            response_.body() = std::string(who->public_reason()) + "\n";
        } else if (parser_->get().target() == "/stats") {
            const clerk::Stats stats = client_.stats();
            response_.body() = std::to_string(stats.cache_hits) + " cached, " + std::to_string(stats.cache_misses) +
                               " verified\n";
        } else {
            response_.body() = "Hello, " + std::string(who->user_id().value_or("machine")) + "\n";
        }
        response_.prepare_payload();
        http::async_write(stream_, response_, [self = shared_from_this()](beast::error_code error, std::size_t) {
            if (!error && self->response_.keep_alive()) return self->read();
            self->stream_.socket().shutdown(Tcp::socket::shutdown_send, error);
        });
    }

    beast::tcp_stream stream_;
    clerk::Client client_;
    asio::thread_pool &pool_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> response_;
};

void accept(Tcp::acceptor &acceptor, const clerk::Client &client, asio::thread_pool &pool) {
    acceptor.async_accept([&acceptor, client, &pool](beast::error_code error, Tcp::socket socket) {
        if (error == asio::error::operation_aborted) return;
        if (!error) std::make_shared<Session>(std::move(socket), client, pool)->read();
        accept(acceptor, client, pool);
    });
}

} // namespace

int main(int argc, char **argv) {
    try {
        const clerk::Client client(clerk::Config().from_env());
        asio::io_context context(1);
        asio::thread_pool pool(waiting_threads);
        const auto port = static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0);
        Tcp::acceptor acceptor(context, {asio::ip::make_address("127.0.0.1"), port});
        accept(acceptor, client, pool);
        std::cout << "http://127.0.0.1:" << acceptor.local_endpoint().port() << std::endl;

        std::thread until_end([&] {
            while (std::cin.get() != EOF) {
            }
            client.shutdown();
            context.stop();
        });
        context.run();
        until_end.join();
        pool.join();
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "beast_server: " << error.what() << '\n';
        return 1;
    }
}
