#include "part.h"

#include <stdlib.h>
#include <string.h>

#define SHARE 20 /* one part of the time in so many, at most, is for writing */

void part_clock_start(struct part_clock *clock, double interval)
{
    *clock = (struct part_clock){.interval = interval, .written = clock_seconds()};
}

bool part_clock_is_due(const struct part_clock *clock, const struct parallel *parallel)
{
    double passed = clock_seconds() - clock->written;
    bool due = passed >= clock->interval && passed >= SHARE * clock->cost;
    return parallel_max_int(parallel, parallel->rank == 0 && due) > 0;
}

void part_clock_wrote(struct part_clock *clock, double began)
{
    clock->written = clock_seconds();
    clock->cost = clock->written - began;
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

struct store_attribute setting_text(const char *name, const char *value)
{
    return (struct store_attribute){.name = name, .kind = STORE_TEXT, .text = value};
}

struct store_attribute setting_number(const char *name, double value)
{
    return (struct store_attribute){.name = name, .kind = STORE_NUMBER, .number = value};
}

struct store_attribute setting_integer(const char *name, int64_t value)
{
    return (struct store_attribute){.name = name, .kind = STORE_INTEGER, .integer = value};
}

static bool is_one_of(const char *name, const char *const *list)
{
    while (*list && strcmp(*list, name) != 0) list++;
    return *list != NULL;
}

bool setting_is_a_name(const char *name)
{
    static const char *const names[] = {"checkpoint", "ends_checkpoint", "data", "base", NULL};
    return is_one_of(name, names);
}

bool setting_is_for_bits(const char *name)
{
    static const char *const names[] = {"batch", "instruction_set", NULL};
    return is_one_of(name, names);
}

void ends_settings(const struct model *model, struct store_attribute out[ENDS_SETTINGS])
{
    const struct model *ends = model->ends;
    const struct store_attribute settings[ENDS_SETTINGS] = {
        setting_text("ends_checkpoint", ends ? ends->path : ""),
        setting_integer("ends_step", ends ? ends->step : -1),
        setting_text("ends_weights", ends ? ends->weights : ""),
        setting_integer("ends_weights_crc32", ends ? ends->weights_crc32 : 0),
        setting_integer("ends_below", model->ends_below),
        setting_integer("ends_from", ends ? model->ends_from : model->diffusion->original_num_steps),
    };
    memcpy(out, settings, sizeof settings);
}

static void write_text(FILE *stream, const char *text)
{
    putc('"', stream);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putc('\\', stream);
        if (*text == '\n')
            fputs("\\n", stream);
        else
            putc(*text, stream);
    }
    putc('"', stream);
}

static void write_line(FILE *stream, const struct store_attribute *setting)
{
    char number[TEXT_NUMBER_SIZE];
    fprintf(stream, "%s: ", setting->name);
    switch (setting->kind) {
    case STORE_TEXT:
        write_text(stream, setting->text);
        break;
    case STORE_NUMBER:
        text_from_number(setting->number, number);
        fputs(number, stream);
        break;
    case STORE_INTEGER:
        fprintf(stream, "%lld", (long long)setting->integer);
        break;
    }
    putc('\n', stream);
}

enum iddpm_status settings_write(int n, const struct store_attribute *settings, char **out)
{
    size_t length;
    FILE *stream = open_memstream(out, &length);
    if (stream) {
        for (int i = 0; i < n; i++) write_line(stream, &settings[i]);
        bool failed = ferror(stream);
        if (fclose(stream) == 0 && !failed) return IDDPM_OK;
        free(*out);
    }
    *out = NULL;
    return iddpm_error(IDDPM_FAILED, "no memory for the settings");
}

/* Whether a line of the text is the same as `line`, which ends with a line feed. */
static bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
        if (strncmp(text, line, length) == 0) return true;
    return false;
}

const char *settings_differ(const char *text, int n, const struct store_attribute *settings, bool bits)
{
    const char *differs = NULL;
    for (int i = 0; i < n && !differs; i++) {
        const char *name = settings[i].name;
        char *line;
        if (setting_is_a_name(name) || (!bits && setting_is_for_bits(name))) continue;
        if (settings_write(1, &settings[i], &line) != IDDPM_OK || !has_line(text, line)) differs = name;
        free(line);
    }
    return differs;
}
