/* Cuts the power at every flash operation of an installation, of state records and of a learned
 * head, boots again and looks whether the device is whole.
 *
 *     power_cut install OLD NEW | state | learn | round | online */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/ek_slot.h"
#include "boot/ek_state.h"
#include "cut_port.h"
#include "learn/ek_learn.h"
#include "link/ek_wire.h"
#include "monocypher.h"

#define IMAGE_MAX EK_FLASH_SLOT_A_BYTES

typedef struct image_file {
    uint8_t bytes[IMAGE_MAX];
    uint32_t n;
    uint8_t id[32];
} image_file;

static image_file old_image;
static image_file new_image;
static uint8_t snapshot[CUT_FLASH_BYTES];
static _Alignas(16) uint8_t arena[EK_ARENA_BYTES];
static ek_install install;
static uint32_t boots; /* highest boot counter that was used */

static void check(int good, const char *what) {
    if (!good) {
        (void)fprintf(stderr, "operation %u, mode %d: %s\n", (unsigned)cut_at, (int)cut_how, what);
        exit(1);
    }
}

static void read_image(image_file *image, const char *path) {
    FILE *file = fopen(path, "rb");
    check(file != NULL, "no image file");
    image->n = (uint32_t)fread(image->bytes, 1, sizeof image->bytes, file);
    (void)fclose(file);
    crypto_blake2b(image->id, 32, image->bytes, image->n);
}

static void boot(ek_state *state, ek_image *image) {
    ek_state_load(state);
    state->boot++;
    check(ek_state_save(state) == EK_OK, "boot counter is not kept");
    check(state->boot > boots, "boot counter came twice");
    boots = state->boot;
    check(ek_slot_boot(state, arena, image) == EK_OK, "no model boots");
    const uint8_t *id = state->slots[state->active].image;
    check(memcmp(id, old_image.id, 32) == 0 || memcmp(id, new_image.id, 32) == 0,
          "a third model runs");
    check(ek_image_arena_bytes(image) > 0U, "model is not open");
}

static void fill_manifest(ek_manifest *manifest) {
    memset(manifest, 0, sizeof *manifest);
    memcpy(manifest->image, new_image.id, 32);
    manifest->image_bytes = new_image.n;
    manifest->counter = 2;
    manifest->arena_bytes = EK_ARENA_BYTES;
    for (uint32_t at = 0; at < new_image.n; at += EK_BLOCK_BYTES) {
        const uint32_t rest = new_image.n - at;
        crypto_blake2b(install.list + at / EK_BLOCK_BYTES * 32U, 32, new_image.bytes + at,
                       rest < EK_BLOCK_BYTES ? rest : EK_BLOCK_BYTES);
    }
    crypto_blake2b(manifest->list_digest, 32, install.list,
                   (new_image.n + EK_BLOCK_BYTES - 1U) / EK_BLOCK_BYTES * 32U);
}

/* Boots and installs the new image, unless it runs already. Returns the bytes that did not have to
 * be written again. */
static uint32_t boot_and_install(void) {
    ek_state state;
    ek_image image;
    ek_manifest manifest;
    boot(&state, &image);
    if (memcmp(state.slots[state.active].image, new_image.id, 32) == 0) {
        return new_image.n;
    }
    fill_manifest(&manifest);
    check(ek_install_start(&install, &state, &manifest) == EK_OK, "start");
    check(ek_install_list(&install, manifest.list_digest) == EK_OK, "block list");
    const uint32_t resumed = install.done;
    while (install.done < new_image.n) {
        const uint32_t rest = new_image.n - install.done;
        check(ek_install_block(&install, new_image.bytes + install.done,
                               rest < EK_BLOCK_BYTES ? rest : EK_BLOCK_BYTES) == EK_OK,
              "block");
    }
    check(ek_install_finish(&install, &state, arena, &image) == EK_OK, "finish");
    check(memcmp(state.slots[state.active].image, new_image.id, 32) == 0, "not switched");
    check(state.highest == 2U, "release counter is not kept");
    return resumed;
}

/* One run with the power cut at an operation; true if the cut came. */
static int run_cut(uint32_t at, cut_mode how, uint32_t (*job)(void)) {
    cut_operations = 0;
    cut_at = at;
    cut_how = how;
    if (setjmp(cut_power) == 0) {
        (void)job();
        return 0;
    }
    return 1;
}

static uint32_t run_whole(uint32_t (*job)(void)) {
    cut_operations = 0;
    cut_at = CUT_NEVER;
    return job();
}

static int cut_install(const char *old_path, const char *new_path) {
    ek_state state;
    ek_image image;
    uint32_t cases = 0;
    uint32_t resumed = 0;
    read_image(&old_image, old_path);
    read_image(&new_image, new_path);
    memset(cut_flash, 0xff, sizeof cut_flash);
    memcpy(cut_flash + EK_FLASH_SLOT_A_OFFSET, old_image.bytes, old_image.n);
    boot(&state, &image);
    memcpy(snapshot, cut_flash, sizeof snapshot);
    const uint32_t first_boots = boots;
    (void)run_whole(boot_and_install);
    const uint32_t operations = cut_operations;
    for (uint32_t i = 0; i < operations * CUT_MODES; i++) {
        memcpy(cut_flash, snapshot, sizeof snapshot);
        boots = first_boots;
        check(run_cut(i / CUT_MODES, (cut_mode)(i % CUT_MODES), boot_and_install), "no cut");
        /* and once more, on the way back */
        (void)run_cut((i * 7U) % (operations / 2U), (cut_mode)(i / 3U % CUT_MODES),
                      boot_and_install);
        resumed += run_whole(boot_and_install) > 0U ? 1U : 0U;
        cut_at = CUT_NEVER;
        boot(&state, &image);
        check(memcmp(state.slots[state.active].image, new_image.id, 32) == 0, "not installed");
        cases++;
    }
    (void)printf("%u operations, %u cuts, %u resumed\n", (unsigned)operations, (unsigned)cases,
                 (unsigned)resumed);
    return 0;
}

/* A save; the state it makes can be told by its boot counter. */
static uint32_t save_once(void) {
    ek_state state;
    ek_state_load(&state);
    state.boot++;
    state.device_key[7] = (uint8_t)state.boot;
    check(ek_state_save(&state) == EK_OK, "save");
    return state.boot;
}

static int cut_state(void) {
    ek_state state;
    uint32_t cases = 0;
    memset(cut_flash, 0x00, sizeof cut_flash); /* never erased: the first save must erase */
    for (uint32_t round = 0; round < 100U; round++) {
        for (uint32_t i = 0; i < 2U * CUT_MODES; i++) {
            ek_state_load(&state);
            const uint32_t before = state.boot;
            if (!run_cut(i / CUT_MODES, (cut_mode)(i % CUT_MODES), save_once)) {
                continue;
            }
            ek_state_load(&state);
            check(state.boot == before || state.boot == before + 1U, "state is lost");
            check(state.boot == 0U || state.device_key[7] == (uint8_t)state.boot, "state is torn");
            cases++;
        }
        const uint32_t now = run_whole(save_once);
        ek_state_load(&state);
        check(state.boot == now, "save is lost");
    }
    (void)printf("%u cuts\n", (unsigned)cases);
    return 0;
}

#define CLASSES 3U
#define FEATURES 50U

#define HEAD_FLOATS (CLASSES * FEATURES + CLASSES)

static uint8_t learned; /* value of all floats of the head to be stored */

static uint32_t store_head(void) {
    static const uint8_t image[32] = {1, 2, 3};
    float floats[CLASSES * FEATURES + CLASSES];
    for (size_t i = 0; i < CLASSES * FEATURES + CLASSES; i++) {
        floats[i] = (float)learned;
    }
    const ek_trainer head = {floats, floats + CLASSES * FEATURES, CLASSES, FEATURES, 1.0f, 0};
    check(ek_learn_store(image, &head) == EK_OK, "store");
    return 0;
}

/* The value of the stored head, all of whose floats must be the same; 0 if there is none. */
static uint8_t load_head(uint8_t first_of_image) {
    const uint8_t image[32] = {first_of_image, 2, 3};
    const uint8_t *floats = ek_learn_head(image, CLASSES, FEATURES);
    if (floats == NULL) {
        return 0;
    }
    for (size_t i = 4; i < 4U * HEAD_FLOATS; i++) {
        check(floats[i] == floats[i - 4U], "head is torn");
    }
    return (uint8_t)ek_wire_get_f32(floats);
}

static uint8_t load_own_head(void) {
    return load_head(1);
}

/* A head of a round and what its update left out, which is as large. */
static uint32_t store_round(void) {
    static const uint8_t image[32] = {1, 2, 3};
    float floats[HEAD_FLOATS];
    ek_learn_round round = {.run = 7, .round = learned};
    for (size_t i = 0; i < HEAD_FLOATS; i++) {
        floats[i] = (float)learned;
    }
    const ek_trainer head = {floats, floats + CLASSES * FEATURES, CLASSES, FEATURES, 1.0f, 0};
    check(ek_learn_round_begin(&round, image, &head) == EK_OK, "begin round");
    check(ek_learn_round_end(&round, floats, HEAD_FLOATS) == EK_OK, "end round");
    return 0;
}

/* As load_own_head; round and what was left out belong to it. */
static uint8_t load_round(void) {
    static const uint8_t image[32] = {1, 2, 3};
    const uint8_t value = load_own_head();
    const uint8_t *said = ek_learn_head(image, CLASSES, FEATURES);
    if (value != 0U) {
        said += 4U * HEAD_FLOATS;
        check(ek_wire_get_u64(said) == 7U && ek_wire_get_u32(said + 8) == value, "another round");
        for (size_t i = 0; i < HEAD_FLOATS; i++) {
            const float left = ek_wire_get_f32(said + 12 + 4U * i);
            check(left >= (float)value && left <= (float)value, "what was left out is torn");
        }
    }
    return value;
}

static uint32_t numbers[3U + 700U];

static uint32_t store_parts(void) {
    static const uint8_t image[32] = {1, 2, 3};
    const ek_learn_part parts[2] = {{numbers, 3}, {numbers + 3, 700}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        numbers[i] = learned * 0x01010101U;
    }
    check(ek_learn_store_parts(image, parts, 2) == EK_OK, "store parts");
    return 0;
}

/* As load_head, of the parts of a head that learns by itself. */
static uint8_t load_parts(void) {
    static const uint8_t image[32] = {1, 2, 3};
    const ek_learn_part parts[2] = {{numbers, 3}, {numbers + 3, 700}};
    const ek_learn_part fewer[1] = {{numbers, 3}};
    if (ek_learn_load_parts(image, parts, 2) != EK_OK) {
        return 0;
    }
    for (size_t i = 1; i < sizeof numbers / sizeof *numbers; i++) {
        check(numbers[i] == numbers[0], "parts are torn");
    }
    check(ek_learn_load_parts(image, fewer, 1) == EK_ERR_STATE, "parts of another size");
    return (uint8_t)numbers[0];
}

static int cut_learn(uint32_t (*job)(void), uint8_t (*newest)(void)) {
    uint32_t cases = 0;
    memset(cut_flash, 0xff, sizeof cut_flash);
    check(newest() == 0U, "a head from nowhere");
    learned = 1;
    (void)run_whole(job);
    const uint32_t operations = cut_operations;
    for (uint32_t i = 0; i < operations * CUT_MODES; i++) {
        const uint8_t before = newest();
        learned = (uint8_t)(before % 200U + 1U);
        check(run_cut(i / CUT_MODES, (cut_mode)(i % CUT_MODES), job), "no cut");
        const uint8_t after = newest();
        check(after == before || after == learned, "head is lost");
        cases++;
    }
    (void)run_whole(job);
    check(newest() == learned && load_head(9) == 0U, "head of another image");
    (void)printf("%u operations, %u cuts\n", (unsigned)operations, (unsigned)cases);
    return 0;
}

/* What came last counts: a head of a round, or one that learns by itself. */
static int mix_learn(void) {
    memset(cut_flash, 0xff, sizeof cut_flash);
    for (uint8_t i = 1; i < 6U; i++) {
        learned = i;
        (void)run_whole(store_head);
        check(load_own_head() == i && load_parts() == 0U, "head after parts");
        (void)run_whole(store_parts);
        check(load_own_head() == 0U && load_parts() == i, "parts after head");
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "install") == 0) {
        return cut_install(argv[2], argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "state") == 0) {
        return cut_state();
    }
    if (argc == 2 && strcmp(argv[1], "learn") == 0) {
        return cut_learn(store_head, load_own_head);
    }
    if (argc == 2 && strcmp(argv[1], "round") == 0) {
        return cut_learn(store_round, load_round);
    }
    if (argc == 2 && strcmp(argv[1], "online") == 0) {
        return cut_learn(store_parts, load_parts) != 0 ? 1 : mix_learn();
    }
    return 2;
}
