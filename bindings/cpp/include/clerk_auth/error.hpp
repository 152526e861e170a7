// What went wrong: thrown, or inside an Expected.
#ifndef CLERK_AUTH_ERROR_HPP
#define CLERK_AUTH_ERROR_HPP

#include "words.hpp"

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <variant>

CLERK_AUTH_NAMESPACE_BEGIN

namespace detail {

struct FreeError {
    void operator()(clerk_error *error) const noexcept { clerk_error_free(error); }
};
using ErrorHandle = std::unique_ptr<clerk_error, FreeError>;

// Either the library's own error, or words of this header where the library has none to give.
struct ErrorState {
    int32_t status;
    ErrorHandle error;
    std::string words;
    std::string setting;
    std::exception_ptr cause;
};

} // namespace detail

// For the person who runs the server, not for clients. Copies share one state; views live as long as any of them.
class Error : public std::exception {
public:
    explicit Error(detail::ErrorState fault) : state_(std::make_shared<const detail::ErrorState>(std::move(fault))) {}
    // Without a move: an error that was moved from would have nothing to say.
    Error(const Error &) noexcept = default;
    Error &operator=(const Error &) noexcept = default;
    ~Error() override = default;

    Status status() const noexcept { return static_cast<Status>(state_->status); }

    const char *what() const noexcept override {
        if (state_->error == nullptr) return state_->words.c_str();
        return clerk_error_message(state_->error.get()).data;
    }
    std::string_view message() const noexcept { return what(); }

    // The setting that is wrong.
    std::optional<std::string_view> setting() const noexcept {
        if (!state_->setting.empty()) return state_->setting;
        return query([](const clerk_error *error) { return detail::from_c(clerk_error_setting(error)); });
    }

    // Clerk's name for the call that failed, for its support.
    std::optional<std::string_view> trace_id() const noexcept {
        return query([](const clerk_error *error) { return detail::from_c(clerk_error_trace_id(error)); });
    }

    // The HTTP status of Clerk's answer, if there was one.
    std::optional<int> http_status() const noexcept { return number(clerk_error_http_status); }

    // The number that the host's own user store failed with, if it was that.
    std::optional<int32_t> store_code() const noexcept { return number(clerk_error_store_code); }

    std::optional<Milliseconds> retry_after() const noexcept {
        return query([](const clerk_error *error) { return detail::from_c_ms(clerk_error_retry_after_ms(error)); });
    }

    // What a hook of the host threw; null if none did. `std::rethrow_exception(error.cause())` gives it back.
    std::exception_ptr cause() const noexcept { return state_->cause; }

private:
    // Without an error of the library's, the library is not asked: it may be the one that cannot be used.
    template <class Ask>
    auto query(Ask &&ask) const noexcept -> decltype(ask(nullptr)) {
        if (state_->error == nullptr) return std::nullopt;
        return ask(state_->error.get());
    }
    std::optional<int32_t> number(int32_t (*ask)(const clerk_error *)) const noexcept {
        return query([ask](const clerk_error *error) {
            const int32_t number = ask(error);
            return number == 0 ? std::nullopt : std::optional<int32_t>(number);
        });
    }

    std::shared_ptr<const detail::ErrorState> state_;
};

namespace detail {

inline Error take_error(int32_t status, clerk_error *error, std::exception_ptr cause = nullptr) {
    ErrorHandle held(error);
    std::string words = held != nullptr ? std::string() : std::string(clerk_status_name(status));
    return Error(ErrorState{status, std::move(held), std::move(words), {}, std::move(cause)});
}

inline Error make_error(int32_t status, std::string words, std::string setting = {},
                            std::exception_ptr cause = nullptr) {
    return Error(ErrorState{status, nullptr, std::move(words), std::move(setting), std::move(cause)});
}

[[noreturn]] inline void fail(const Error &error) {
#if CLERK_AUTH_EXCEPTIONS
    throw error;
#else
    static_cast<void>(error);
    std::abort();
#endif
}

} // namespace detail

// A value or an error, for functions that do not throw. Taking the one that is not there throws the error, or ends the
// process where exceptions are switched off: it never goes unnoticed. Out of a temporary only the value itself is
// taken, never a way to it.
template <class T>
class [[nodiscard]] Expected {
public:
    Expected(T value) noexcept : either_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) noexcept : either_(std::in_place_index<1>, error) {}

    bool has_value() const noexcept { return either_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T &value() & { return *checked(); }
    const T &value() const & { return *checked(); }
    T value() && { return std::move(*checked()); }
    T &operator*() & { return *checked(); }
    const T &operator*() const & { return *checked(); }
    T operator*() && { return std::move(*checked()); }
    T *operator->() & { return checked(); }
    const T *operator->() const & { return checked(); }
    const T *operator->() const && = delete;

    const Error &error() const & {
        const Error *error = std::get_if<1>(&either_);
        if (error == nullptr) std::abort();
        return *error;
    }

private:
    T *checked() {
        if (!has_value()) detail::fail(error());
        return std::get_if<0>(&either_);
    }
    const T *checked() const {
        if (!has_value()) detail::fail(error());
        return std::get_if<0>(&either_);
    }

    std::variant<T, Error> either_;
};

template <>
class [[nodiscard]] Expected<void> {
public:
    Expected() noexcept = default;
    Expected(Error error) noexcept : error_(error) {}

    bool has_value() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }

    void value() const {
        if (error_) detail::fail(*error_);
    }
    const Error &error() const & {
        if (!error_) std::abort();
        return *error_;
    }

private:
    std::optional<Error> error_;
};

CLERK_AUTH_NAMESPACE_END

#endif
