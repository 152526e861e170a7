// Calls from the C library into the application's callbacks, and the exceptions they throw.
#ifndef CLERK_AUTH_CALLBACKS_HPP
#define CLERK_AUTH_CALLBACKS_HPP

#include "error.hpp"

#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

CLERK_AUTH_NAMESPACE_BEGIN

namespace detail {

// One address per type; identifies types without RTTI.
template <class T>
inline constexpr char type_tag = 0;

// The application's object for a row.
struct RowObject {
    std::string key;
    std::shared_ptr<void> object;
    const void *type;
};

// State of one call: exceptions thrown by callbacks, and the rows the user store returned.
struct CallState {
    std::exception_ptr store; // the first one; later ones are consequences
    std::exception_ptr clock;
    std::exception_ptr listener;
    std::vector<RowObject> rows;

    bool is_empty() const noexcept { return !store && !clock && !listener && rows.empty(); }
};

// Makes a CallState current on this thread for a scope. Callbacks run on the thread of the call.
class CallScope {
public:
    explicit CallScope(CallState &state) noexcept : before_(current()) { current() = &state; }
    ~CallScope() { current() = before_; }
    CallScope(const CallScope &) = delete;
    CallScope &operator=(const CallScope &) = delete;

    static CallState *&current() noexcept {
        static thread_local CallState *state = nullptr;
        return state;
    }

    // Stores the exception being handled.
    static void capture_exception(std::exception_ptr CallState::*where) noexcept {
        CallState *state = current();
        if (state != nullptr && !(state->*where)) state->*where = std::current_exception();
    }

private:
    CallState *before_;
};

// An application's callback, passed through the C library as userdata.
template <class Function>
struct Callback {
    Function function;

    static Function &of(void *userdata) noexcept { return static_cast<Callback *>(userdata)->function; }
    static void destroy(void *userdata) noexcept { delete static_cast<Callback *>(userdata); }
};

template <class Function>
void *make_callback(Function &&function) {
    return new Callback<std::decay_t<Function>>{std::forward<Function>(function)};
}

// Calls an event or log callback. An exception is stored and has no other effect.
template <class Body>
void call_listener(Body &&body) noexcept {
#if CLERK_AUTH_EXCEPTIONS
    try {
        body();
    } catch (...) {
        CallScope::capture_exception(&CallState::listener);
    }
#else
    body();
#endif
}

// Calls a clock callback. If it throws, returns the maximum time, at which every token has expired.
template <class Body>
int64_t call_clock(Body &&body) noexcept {
#if CLERK_AUTH_EXCEPTIONS
    try {
        return body();
    } catch (...) {
        CallScope::capture_exception(&CallState::clock);
        return std::numeric_limits<int64_t>::max();
    }
#else
    return body();
#endif
}

} // namespace detail

CLERK_AUTH_NAMESPACE_END

#endif
