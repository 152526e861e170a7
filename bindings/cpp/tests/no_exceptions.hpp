// A part of the program that is built with -fno-exceptions.
#ifndef NO_EXCEPTIONS_HPP
#define NO_EXCEPTIONS_HPP

#include <string>

// The outcome of each call, separated by "|".
std::string story_without_exceptions(const std::string &api_url, const std::string &token, const std::string &expired);

#endif
