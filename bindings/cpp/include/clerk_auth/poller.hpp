// A thread that applies what other processes change in the shared cache.
#ifndef CLERK_AUTH_POLLER_HPP
#define CLERK_AUTH_POLLER_HPP

#include "client.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

CLERK_AUTH_NAMESPACE_BEGIN

// Applies revocations, webhook events and invalidations of other processes, on a thread that ends with this object. The destructor
// waits for it, half a second at most. Event and log callbacks of the client run on the thread as well.
//
//     clerk::Client client(config); // with `shared_cache`
//     clerk::Poller poller(client);
class Poller {
public:
    // Fails with the status CLERK_E_CONFIG if the client has no shared cache.
    static Expected<Poller> make(const Client &client) {
        const Expected<bool> polled = client.try_poll(Milliseconds(0));
        if (!polled.has_value()) return polled.error();
        return Poller(std::make_unique<State>(client));
    }

#if CLERK_AUTH_EXCEPTIONS
    explicit Poller(const Client &client) : Poller(make(client).value()) {}
#endif

    Poller(Poller &&) noexcept = default;
    Poller &operator=(Poller &&) noexcept = default;

private:
    struct State {
        explicit State(const Client &polled) : client(polled), thread([this] { run(); }) {}
        State(const State &) = delete;
        State &operator=(const State &) = delete;
        ~State() {
            is_stopped = true;
            thread.join();
        }

        void run() noexcept {
            // While the shared cache cannot be used, a call waits as well; whatever else failed may be over next time.
            while (!is_stopped) {
                if (!client.try_poll(wait).has_value()) std::this_thread::sleep_for(wait);
            }
        }

        static constexpr Milliseconds wait{250};
        Client client;
        std::atomic<bool> is_stopped{false};
        std::thread thread;
    };

    explicit Poller(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

    std::unique_ptr<State> state_;
};

CLERK_AUTH_NAMESPACE_END

#endif
