// Errors, and values that may be errors.
#ifndef CLERK_AUTH_ERROR_HPP
#define CLERK_AUTH_ERROR_HPP

#include "enums.hpp"

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

// An error of the C library or of this header.
struct ErrorState {
    int32_t status;
    ErrorHandle error;
    std::string message;
    std::string setting;
    std::exception_ptr cause;
};

} // namespace detail

// A failure of a call. Its message is for the operator, not for clients. Copies share one state; string views are valid while
// any copy exists.
class Error : public std::exception {
public:
    explicit Error(detail::ErrorState fault) : state_(std::make_shared<const detail::ErrorState>(std::move(fault))) {}
    // No move: a moved-from error would have no message.
    Error(const Error &) noexcept = default;
    Error &operator=(const Error &) noexcept = default;
    ~Error() override = default;

    Status status() const noexcept { return static_cast<Status>(state_->status); }

    const char *what() const noexcept override {
        if (state_->error == nullptr) return state_->message.c_str();
        return clerk_error_message(state_->error.get()).data;
    }
    std::string_view message() const noexcept { return what(); }

    // Returns the name of the invalid setting, if the error is about one.
    std::optional<std::string_view> setting() const noexcept {
        if (!state_->setting.empty()) return state_->setting;
        return query([](const clerk_error *error) { return detail::from_c(clerk_error_setting(error)); });
    }

    // Returns the trace id of the failed call to Clerk.
    std::optional<std::string_view> trace_id() const noexcept {
        return query([](const clerk_error *error) { return detail::from_c(clerk_error_trace_id(error)); });
    }

    // Returns the HTTP status of Clerk's response, if there was one.
    std::optional<int> http_status() const noexcept { return number(clerk_error_http_status); }

    // Returns the code that the application's user store failed with.
    std::optional<int32_t> store_code() const noexcept { return number(clerk_error_store_code); }

    std::optional<Milliseconds> retry_after() const noexcept {
        return query([](const clerk_error *error) { return detail::from_c_ms(clerk_error_retry_after_ms(error)); });
    }

    // Returns the exception a callback threw, or null. `std::rethrow_exception(error.cause())` throws it again.
    std::exception_ptr cause() const noexcept { return state_->cause; }

private:
    // Calls the library only for an error that the library returned: otherwise the library itself may be unusable.
    template <class Getter>
    auto query(Getter &&getter) const noexcept -> decltype(getter(nullptr)) {
        if (state_->error == nullptr) return std::nullopt;
        return getter(state_->error.get());
    }
    std::optional<int32_t> number(int32_t (*getter)(const clerk_error *)) const noexcept {
        return query([getter](const clerk_error *error) {
            const int32_t number = getter(error);
            return number == 0 ? std::nullopt : std::optional<int32_t>(number);
        });
    }

    std::shared_ptr<const detail::ErrorState> state_;
};

namespace detail {

inline Error take_error(int32_t status, clerk_error *error, std::exception_ptr cause = nullptr) {
    ErrorHandle held(error);
    std::string message = held != nullptr ? std::string() : std::string(clerk_status_name(status));
    return Error(ErrorState{status, std::move(held), std::move(message), {}, std::move(cause)});
}

inline Error make_error(int32_t status, std::string message, std::string setting = {},
                            std::exception_ptr cause = nullptr) {
    return Error(ErrorState{status, nullptr, std::move(message), std::move(setting), std::move(cause)});
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

// A value or an error, returned by the `try_…` functions. Accessing the value of an error throws that error, or ends the
// process when exceptions are disabled. A temporary gives only its value, never a pointer or reference into it.
template <class T>
class [[nodiscard]] Expected {
public:
    Expected(T value) noexcept : either_(std::in_place_index<0>, std::move(value)) {}
    Expected(Error error) noexcept : either_(std::in_place_index<1>, error) {}

    bool has_value() const noexcept { return either_.index() == 0; }
    // Not convertible to bool: `if (client.try_authenticate(request))` would accept every request.
    template <class Bool, class = detail::EnableIfBool<Bool>>
    explicit operator Bool() const noexcept {
        static_assert(detail::always_false<Bool>, "check has_value() for an error, then value().signed_in() for the user");
        return false;
    }

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
