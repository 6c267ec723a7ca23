/* JSON of the reference files, read by libyaml (JSON is YAML). */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stdbool.h>

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT };
struct json {
    enum json_kind kind;
    double number; /* JSON_NUMBER, and 0 or 1 of JSON_BOOL */
    char *text;    /* of any scalar, as written */
    int n;         /* members of a list or object, in the file's order */
    struct json **items;
    char **keys; /* of an object */
};

struct json *json_parse(const char *text); /* ends the test when it cannot be read */
struct json *json_read(const char *path);  /* a whole file */
void json_free(struct json *json);

/* The member `key` of an object, NULL when it has none or it is null. */
const struct json *json_get(const struct json *object, const char *key);
/* The member of this type, `otherwise` when it is missing or null. */
double json_number(const struct json *object, const char *key, double otherwise);
bool json_bool(const struct json *object, const char *key, bool otherwise);
const char *json_string(const struct json *object, const char *key, const char *otherwise);
/* A list of numbers, at most `room`; returns how many, 0 when it is missing. */
int json_numbers(const struct json *object, const char *key, int room, double *out);

#endif
