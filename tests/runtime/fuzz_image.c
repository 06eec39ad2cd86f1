/* Mutates model images, repairs their checksum, and runs what the loader still accepts. Built with
 * sanitizers: any access outside image, arena, input and output ends the program. Usage: fuzz_image
 * COUNT SEED IMAGE... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ek.h"
#include "ek_program.h"

static uint64_t state;

static uint32_t draw(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

static uint32_t crc_add(uint32_t crc, const uint8_t *bytes, size_t count) {
    for (; count != 0; count--) {
        crc ^= *bytes++;
        for (int i = 0; i < 8; i++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return crc;
}

static uint32_t get(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Somewhere in a section, mostly in plan and ops; sometimes anywhere. */
static size_t place(const uint8_t *bytes, size_t length) {
    uint32_t sections = get(bytes + 16);
    if (draw(8) == 0) {
        return draw((uint32_t)length);
    }
    for (int tries = 0; tries < 20; tries++) {
        const uint8_t *entry = bytes + 32 + 16 * (size_t)draw(sections);
        uint32_t kind = get(entry);
        uint32_t size = get(entry + 8);
        if (size != 0 && (kind == 2 || kind == 3 || kind == 5 || draw(6) == 0)) {
            return get(entry + 4) + draw(size);
        }
    }
    return draw((uint32_t)length);
}

static void mutate(uint8_t *bytes, const uint8_t *original, size_t length) {
    static const uint32_t values[] = {0,          1,          2,          3,          4,
                                      16,         127,        128,        255,        256,
                                      0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 0x40000000,
                                      0x10000,    0x10001,    0x3fffffff, 0xffff,     0xffffff80};
    for (uint32_t n = 1 + draw(3); n != 0; n--) {
        size_t at = place(original, length);
        size_t word = at & ~(size_t)3;
        switch (draw(5)) {
        case 0:
            bytes[at] = (uint8_t)draw(256);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 2:
            put(bytes + word, values[draw(sizeof values / sizeof values[0])]);
            break;
        case 3:
            put(bytes + word, get(bytes + word) + (draw(2) != 0 ? 1u : 0xffffffffu));
            break;
        default:
            put(bytes + word, get(original + (place(original, length) & ~(size_t)3)));
            break;
        }
    }
}

/* The image laid out anew: memory of exactly the size that it asks for. */
static void run_program(const ek_image *image, uint8_t *arena, size_t arena_bytes,
                        const int8_t *input, int8_t *output) {
    ek_head head;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, ek_program_bytes(image)) != 0) {
        exit(3);
    }
    if (ek_program_open(image, arena, arena_bytes, memory) != EK_OK) {
        exit(4);
    }
    ek_state_reset(image, arena, arena_bytes);
    ek_program_run(memory, input, output, 1);
    ek_program_run(memory, input, output, 1);
    if (ek_image_head(image, &head) == EK_OK) {
        int8_t *features = malloc(head.features);
        ek_program_features(memory, input, features, 1);
        free(features);
    }
    free(memory);
}

static int run(const uint8_t *bytes, size_t length) {
    ek_image image;
    if (ek_image_open(&image, bytes, length) != EK_OK) {
        return 0;
    }
    size_t arena_bytes = ek_image_arena_bytes(&image);
    if (arena_bytes > 1u << 20) {
        return 1;
    }
    uint8_t *arena = aligned_alloc(16, (arena_bytes + 15) / 16 * 16 + 16);
    int8_t *input = malloc(ek_image_input_bytes(&image) + 1);
    uint8_t *raw = malloc(ek_image_raw_bytes(&image) + 1);
    int8_t *output = malloc(ek_image_output_bytes(&image) + 1);
    ek_head head;
    memset(arena, 0x5a, arena_bytes);
    memset(raw, 0x80, ek_image_raw_bytes(&image));
    ek_features_apply(&image, raw, input);
    if (ek_image_takes_text(&image)) {
        uint8_t *text = malloc(600);
        uint32_t count;
        for (int i = 0; i < 600; i++) {
            text[i] =
                draw(4) == 0 ? (uint8_t)draw(256) : (uint8_t) "aehilnort [SEP]\xc3\xa9"[draw(17)];
        }
        ek_text_apply(&image, text, draw(2) * 300 + draw(300), input, &count);
        free(text);
    }
    ek_state_reset(&image, arena, arena_bytes);
    ek_run(&image, arena, arena_bytes, input, output);
    ek_run(&image, arena, arena_bytes, input, output);
    ek_golden_check(&image, arena, arena_bytes);
    run_program(&image, arena, arena_bytes, input, output);
    if (ek_image_head(&image, &head) == EK_OK) {
        int8_t *features = malloc(head.features);
        ek_run_features(&image, arena, arena_bytes, input, features);
        /* The last float of the bias lies in the image. */
        volatile uint8_t last = head.bias[4 * (size_t)head.classes - 1];
        (void)last;
        free(features);
    }
    free(output);
    free(raw);
    free(input);
    free(arena);
    return 1;
}

int main(int argc, char **argv) {
    long accepted = 0;
    long count = strtol(argv[1], NULL, 10);
    state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    for (int file = 3; file < argc; file++) {
        FILE *f = fopen(argv[file], "rb");
        if (f == NULL) {
            return 2;
        }
        fseek(f, 0, SEEK_END);
        size_t length = (size_t)ftell(f);
        rewind(f);
        uint8_t *original = malloc(length);
        if (fread(original, 1, length, f) != length) {
            return 2;
        }
        fclose(f);
        for (long i = 0; i < count; i++) {
            uint8_t *bytes = aligned_alloc(16, length);
            memcpy(bytes, original, length);
            mutate(bytes, original, length);
            size_t total = get(bytes + 8);
            if (total >= 16 && total <= length) {
                uint32_t crc = crc_add(0xffffffffu, bytes, 12);
                put(bytes + 12, ~crc_add(crc, bytes + 16, total - 16));
            }
            accepted += run(bytes, length);
            free(bytes);
        }
        free(original);
    }
    printf("%ld\n", accepted);
    return 0;
}
