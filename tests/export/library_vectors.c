/* What newlib's start-up needs to run at address 0 of an emulated Cortex-M: the vector table. */
void _start(void);

extern void (*const vectors[2])(void);
__attribute__((section(".vectors"))) void (*const vectors[2])(void) = {
    (void (*)(void))0x20010000u,
    _start,
};
