/* Start of the firmware on a board without an agent: a test bench and nothing else. */
#include "ek_bench.h"
#include "ek_port.h"

int main(void);

int main(void) {
    ek_port_init();
    const int code = ek_bench_main();
    ek_port_exit(code);
    return code;
}
