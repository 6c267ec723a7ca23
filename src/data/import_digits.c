/* Handwritten digits: Optical Recognition of Handwritten Digits (UCI, CC BY 4.0), a line for each with 8 x 8 pixels of
 * 0..16 and the label. The file is part of the program; another of the same form can be given, compressed or not. */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#define SIDE 8
#define PIXELS (SIDE * SIDE)
#define LEVELS 16
#define CLASSES 10
#define TEST_EVERY 6 /* rows 0, 6, 12, ... are the test split */

__asm__(".pushsection .rodata\n"
        "digits_file: .incbin \"" IDDPM_DATA_DIR "/digits.csv.gz\"\n"
        "digits_file_end: .byte 0\n"
        ".popsection\n");
extern const uint8_t digits_file[], digits_file_end[];

struct digit {
    uint8_t pixels[PIXELS];
    uint8_t label;
};

struct digits {
    struct digit *rows;
    size_t count, capacity;
};

static void digits_close(void *state)
{
    struct digits *digits = state;
    free(digits->rows);
    free(digits);
}

static enum iddpm_status digits_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct digits *digits = state;
    memcpy(image, digits->rows[i].pixels, PIXELS);
    *label = digits->rows[i].label;
    return IDDPM_OK;
}

/* A number of 0..most in front of *s, which moves behind it; -1 when there is none. */
static int parse_value(const char **s, int most)
{
    const char *from = *s;
    int n = 0;
    while (**s >= '0' && **s <= '9' && n <= most) n = n * 10 + (*(*s)++ - '0');
    return *s == from || n > most ? -1 : n;
}

/* Takes one line apart; false when it is not 64 levels, a label and the line's end. */
static bool parse_line(const char *s, struct digit *digit)
{
    for (int i = 0; i < PIXELS; i++) {
        int level = parse_value(&s, LEVELS);
        if (level < 0 || *s++ != ',') return false;
        digit->pixels[i] = (uint8_t)((level * 255 + LEVELS / 2) / LEVELS);
    }
    int label = parse_value(&s, CLASSES - 1);
    digit->label = (uint8_t)label;
    return label >= 0 && s[strspn(s, "\r\n")] == 0;
}

static enum iddpm_status read_rows(gzFile file, const char *name, bool test, struct digits *digits)
{
    char line[1024];
    struct digit digit;
    for (size_t row = 0; gzgets(file, line, sizeof line); row++) {
        if (!parse_line(line, &digit))
            return iddpm_error(IDDPM_FAILED, "%s:%zu: a line must have %d numbers of 0 to %d and a label of 0 to %d",
                               name, row + 1, PIXELS, LEVELS, CLASSES - 1);
        if ((row % TEST_EVERY == 0) != test) continue;
        TRY(mem_grow(&digits->rows, &digits->capacity, digits->count + 1, sizeof digit, name));
        digits->rows[digits->count++] = digit;
    }
    int error;
    const char *text = gzerror(file, &error);
    if (error != Z_OK && error != Z_STREAM_END)
        return iddpm_error(IDDPM_FAILED, "%s: %s", name, error == Z_ERRNO ? strerror(errno) : text);
    return digits->count ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: holds no digits", name);
}

/* The program's own copy as an open file. */
static int builtin_file(void)
{
    size_t size = (size_t)(digits_file_end - digits_file);
    int fd = memfd_create("digits", MFD_CLOEXEC);
    if (fd >= 0 && (write(fd, digits_file, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

enum iddpm_status import_digits_open(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source)
{
    struct digits *digits;
    const char *path = options->source, *name = path ? path : "built-in digits";
    TRY(mem_alloc(&digits, 1, sizeof *digits, name));
    source->state = digits;
    source->fetch = digits_fetch;
    source->close = digits_close;
    gzFile file = path ? gzopen(path, "rb") : gzdopen(builtin_file(), "rb");
    if (!file) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", name, strerror(errno));
    enum iddpm_status status = read_rows(file, name, options->split && strcmp(options->split, "test") == 0, digits);
    gzclose(file);
    TRY(status);
    source->count = digits->count;
    if (path) import_identify(source, path);
    TRY(mem_alloc(&dataset->class_names, CLASSES, sizeof *dataset->class_names, "classes"));
    for (int i = 0; i < CLASSES; i++) TRY(import_add_class(dataset, (char[]){(char)('0' + i), 0}));
    return import_describe(dataset, SIDE, SIDE, 1,
                           path ? path : "Optical Recognition of Handwritten Digits, UCI Machine Learning Repository",
                           path ? "not stated" : "CC BY 4.0");
}
