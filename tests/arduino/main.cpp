// Runs a sketch: its setup, and its loop a few times.
#include "Arduino.h"

void setup();
void loop();

int main() {
    setup();
    for (int round = 0; round < 3; ++round) loop();
}
