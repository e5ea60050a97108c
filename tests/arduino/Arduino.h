// The part of Arduino's interface that the sketches in docs/boards.md use. Serial prints to standard output, delay() does
// not wait, and the pins have fixed values.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>

using std::isnan;

const uint8_t A0 = 14, A1 = 15, A2 = 16;

class Stub {
public:
    void begin(unsigned long) {}
    size_t print(const char *text) { return std::printf("%s", text); }
    size_t print(int number) { return std::printf("%d", number); }
    size_t print(double number, int digits = 2) { return std::printf("%.*f", digits, number); }
    size_t println() { return std::printf("\r\n"); }
    template <typename T> size_t println(T value) { return print(value) + println(); }
    size_t println(double number, int digits) { return print(number, digits) + println(); }
};

inline Stub Serial;

inline void delay(unsigned long) {}

inline int analogRead(uint8_t pin) {
    switch (pin) {
    case A0: return 312;
    case A1: return 540;
    case A2: return 120;
    default: return 0;
    }
}
