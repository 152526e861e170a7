// The way from the C library into the host's own functions, and what they throw on the way back.
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

// An address for each type: tells types apart without RTTI.
template <class T>
inline constexpr char type_tag = 0;

// The object of the host's own that stands for a row.
struct RowObject {
    std::string key;
    std::shared_ptr<void> object;
    const void *type;
};

// What the hooks leave behind during one call: exceptions must not cross the C library, so they wait here.
struct CallState {
    std::exception_ptr store; // the first: what comes after it is a consequence
    std::exception_ptr clock;
    std::exception_ptr listener;
    std::vector<RowObject> rows;

    bool is_empty() const noexcept { return !store && !clock && !listener && rows.empty(); }
};

// The notes of the call that this thread is in. Hooks run on the thread of the call that needs them.
class CallScope {
public:
    explicit CallScope(CallState &notes) noexcept : before_(current()) { current() = &notes; }
    ~CallScope() { current() = before_; }
    CallScope(const CallScope &) = delete;
    CallScope &operator=(const CallScope &) = delete;

    static CallState *&current() noexcept {
        static thread_local CallState *notes = nullptr;
        return notes;
    }

    // Keeps what is being thrown, for the call to hand out.
    static void capture_exception(std::exception_ptr CallState::*where) noexcept {
        CallState *notes = current();
        if (notes != nullptr && !(notes->*where)) notes->*where = std::current_exception();
    }

private:
    CallState *before_;
};

// A function of the host's own, on its way through the C library as userdata.
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

// Runs a listener; what it throws changes nothing, and can be asked for afterwards.
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

// Without the time nobody can be let in: in the far future, every token has ended.
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
