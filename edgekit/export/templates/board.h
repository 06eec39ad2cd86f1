/* Board '$name': $core, $ram_bytes bytes of RAM, $flash_bytes bytes of flash. Generated from devices/boards/$name.toml. */
#ifndef EK_BOARD_H
#define EK_BOARD_H

#define EK_BOARD_NAME "$name"
#define EK_BOARD_SENSORS "$sensors"
#define EK_FIRMWARE_VERSION "$version"
/* Kernel set: $ops */
#define EK_KERNEL_SET_HASH_BYTES \
    { $hash_bytes }

#define EK_RAM_BYTES $ram_bytes
#define EK_STACK_BYTES $stack_bytes
#define EK_ARENA_BYTES $arena_bytes
#define EK_FEATURE_CACHE_BYTES $feature_cache_bytes
#define EK_TICKS_HZ $ticks_hz

/* Hardware of the chip. */
$peripherals
/* Where the image ends on a board without an agent. */
#define EK_IMAGE_END $image_end

/* Persistent memory: offsets from its base. */
#define EK_PERSISTENT_BASE $persistent_base
#define EK_PERSISTENT_BYTES $persistent_bytes
#define EK_FLASH_PAGE_BYTES $flash_page_bytes
$regions
#endif
