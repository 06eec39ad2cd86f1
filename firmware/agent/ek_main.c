/* Start of the firmware on every board: reads who it is and becomes an agent or a test bench. */
#include "ek_agent.h"
#include "ek_bench.h"
#include "ek_port.h"

int ek_agent_main(const ek_provision *provision) {
    static ek_agent agent; /* the agent's only memory */
    ek_status status = ek_agent_start(&agent, provision);
    if (status != EK_OK) {
        ek_port_log(ek_status_text(status));
        return 1;
    }
    for (;;) {
        ek_port_watchdog_feed();
        ek_port_idle(ek_agent_step(&agent));
    }
}

int main(void) {
    ek_provision provision;
    ek_port_init();
    ek_status status =
        ek_provision_read(ek_port_flash_base() + EK_FLASH_PROVISION_OFFSET, &provision);
    int code = 1;
    if (status != EK_OK) {
        ek_port_log("provisioning page:");
        ek_port_log(ek_status_text(status));
    } else if (provision.mode == EK_MODE_BENCH) {
        code = ek_bench_main();
    } else {
        code = ek_agent_main(&provision);
    }
    ek_port_exit(code);
    return code;
}
