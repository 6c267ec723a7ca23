/* A data set of labelled noise for runs by hand.
 * usage: bench_make_data FOLDER SIZE CLASSES   makes FOLDER/data: 64 pictures of SIZE x SIZE */
#include "models.h"
#include "support/data.h"

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s FOLDER SIZE CLASSES\n", argv[0]);
        return IDDPM_USAGE;
    }
    bench_check(bench_data(argv[1], atoi(argv[2]), atoi(argv[3])));
    return 0;
}
