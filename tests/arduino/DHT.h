// The part of Adafruit's DHT library that the sketches use. Every third measurement fails, as with a loose wire.
#pragma once

#include "Arduino.h"

const uint8_t DHT22 = 22;

class DHT {
public:
    DHT(uint8_t, uint8_t) {}
    void begin() {}
    float readTemperature() { return ++count % 3 == 0 ? NAN : -5.5F; }
    float readHumidity() { return count % 3 == 0 ? NAN : 60.0F; }

private:
    unsigned count = 0;
};
