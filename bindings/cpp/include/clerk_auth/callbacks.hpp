// Calls from the C library into the application's callbacks, and the exceptions they throw.
#ifndef CLERK_AUTH_CALLBACKS_HPP
#define CLERK_AUTH_CALLBACKS_HPP

#include "error.hpp"

#include <atomic>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
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
    const void *type = nullptr;
};

// The application's objects for rows, as the user store returned them last; for cached results, for which the store is not
// called. The least recently used one is evicted. Any thread.
class RowCache {
public:
    static constexpr std::size_t capacity = 10000;

    bool is_empty() const noexcept { return is_empty_.load(std::memory_order_relaxed); }

    void put(const RowObject &row) {
        const std::lock_guard<std::mutex> lock(mutex_);
        erase(row.key);
        rows_.push_front(row);
        by_key_.emplace(rows_.front().key, rows_.begin());
        if (rows_.size() > capacity) erase(rows_.back().key);
        is_empty_.store(false, std::memory_order_relaxed);
    }

    // Returns a row without an object if there is none.
    RowObject get(std::string_view key) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = by_key_.find(key);
        if (found == by_key_.end()) return {};
        rows_.splice(rows_.begin(), rows_, found->second);
        return *found->second;
    }

private:
    void erase(std::string_view key) {
        const auto found = by_key_.find(key);
        if (found == by_key_.end()) return;
        const auto row = found->second;
        by_key_.erase(found);
        rows_.erase(row);
    }

    std::mutex mutex_;
    std::list<RowObject> rows_; // the last used one first
    std::unordered_map<std::string_view, std::list<RowObject>::iterator> by_key_;
    std::atomic<bool> is_empty_{true};
};

// State of one call: exceptions thrown by callbacks, and the rows the user store returned.
struct CallState {
    std::exception_ptr store; // the first one; later ones are consequences
    std::exception_ptr clock;
    std::exception_ptr listener;
    std::vector<RowObject> rows;
    std::shared_ptr<RowCache> cache; // the client's; null for webhooks

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
