#include "html.h"

#include <errno.h>
#include <string.h>

/* Bytes of the character that begins at `text`, and its code; 0 when it is no UTF-8. */
static int decode(const unsigned char *text, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char c = *text;
    const int n = c < 0x80 ? 1 : c >= 0xc0 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf8 ? 4 : 0;
    if (n == 0) return 0;
    *code = n == 1 ? c : c & (0x7fu >> n);
    for (int i = 1; i < n; i++) { /* the end of the text is no continuation */
        if ((text[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (text[i] & 0x3f);
    }
    return *code >= least[n] ? n : 0;
}

static bool is_allowed(uint32_t code)
{
    if (code < 0x20) return code == '\n' || code == '\t';
    return (code < 0xd800 || code > 0xdfff) && code != 0xfffe && code != 0xffff && code <= 0x10ffff &&
           !(code >= 0x7f && code < 0xa0);
}

void html_text(FILE *stream, const char *text)
{
    uint32_t code = 0;
    for (int n; *text; text += n ? n : 1) {
        n = decode((const unsigned char *)text, &code);
        if (n == 0 || !is_allowed(code))
            fputc('?', stream);
        else if (code == '&')
            fputs("&amp;", stream);
        else if (code == '<')
            fputs("&lt;", stream);
        else if (code == '>')
            fputs("&gt;", stream);
        else if (code == '"')
            fputs("&quot;", stream);
        else
            fwrite(text, 1, (size_t)n, stream);
    }
}

static void put_group(FILE *stream, const unsigned char *in, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint32_t bits = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0) | (n > 2 ? in[2] : 0);
    for (size_t i = 0; i < 4; i++) fputc(i <= n ? digits[bits >> (18 - 6 * i) & 63] : '=', stream);
}

enum iddpm_status html_data(FILE *stream, const char *path, const char *type)
{
    unsigned char block[3 * 4096];
    FILE *file = fopen(path, "rb");
    if (!file) return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", path, strerror(errno));
    fprintf(stream, "data:%s;base64,", type);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        for (size_t i = 0; i < n; i += 3) put_group(stream, block + i, n - i < 3 ? n - i : 3);
    const bool failed = ferror(file);
    fclose(file);
    return failed ? iddpm_error(IDDPM_FAILED, "%s: cannot read all of it", path) : IDDPM_OK;
}
