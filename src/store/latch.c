#include "latch.h"

#include <errno.h>
#include <string.h>

static struct {
    const char *operation; /* of the first error; NULL: none */
    char cause[MPI_MAX_ERROR_STRING];
    const struct parallel *opening;
} latch;

void latch_clear(void)
{
    latch.operation = NULL;
}

void latch_opening(const struct parallel *parallel)
{
    latch.opening = parallel;
}

enum iddpm_status latch_check(const char *path)
{
    if (!latch.operation) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot %s: %s", path, latch.operation, latch.cause);
}

/* `error` MPI_SUCCESS: fewer bytes than asked for. errno is still that of the failed call. */
static void remember(const char *operation, int error)
{
    int system = errno, class, length;
    if (latch.operation) return;
    latch.operation = operation;
    PMPI_Error_class(error, &class);
    if (class == MPI_ERR_NO_SPACE) system = ENOSPC;
    if (class == MPI_ERR_QUOTA) system = EDQUOT;
    if (error == MPI_SUCCESS)
        strcpy(latch.cause, "fewer bytes than asked for (is the disk full?)");
    else if (system)
        snprintf(latch.cause, sizeof latch.cause, "%s", strerror(system));
    else
        PMPI_Error_string(error, latch.cause, &length);
}

/* After a transfer of `count` elements of `type`: HDF5 is shown a full one. Returns the bytes that it was to move, 0
 * when it did. */
static size_t settle(const char *operation, int error, int count, MPI_Datatype type, MPI_Status *own,
                     MPI_Status *status)
{
    MPI_Count size, bytes = 0;
    PMPI_Type_size_x(type, &size);
    size *= count;
    if (error == MPI_SUCCESS) PMPI_Get_elements_x(own, MPI_BYTE, &bytes);
    bool full = bytes == size;
    if (!full) {
        remember(operation, error);
        PMPI_Status_set_elements_x(own, MPI_BYTE, size);
    }
    if (status != MPI_STATUS_IGNORE) *status = *own;
    return full ? 0 : (size_t)size;
}

/* All our transfers are independent ones of contiguous data, so the buffer holds just the bytes to move. */
static int settle_read(int error, void *data, int count, MPI_Datatype type, MPI_Status *own, MPI_Status *status)
{
    size_t failed = settle("read", error, count, type, own, status);
    if (failed) memset(data, 0, failed);
    if (failed && latch.opening)
        parallel_abort(latch.opening, IDDPM_FAILED, "cannot read a new file back: %s", latch.cause);
    return MPI_SUCCESS;
}

static int settle_write(int error, int count, MPI_Datatype type, MPI_Status *own, MPI_Status *status)
{
    settle("write", error, count, type, own, status);
    return MPI_SUCCESS;
}

static int settle_plain(const char *operation, int error)
{
    if (error != MPI_SUCCESS) remember(operation, error);
    return MPI_SUCCESS;
}

/* ---- what HDF5 calls --------------------------------------------------------------------------------------------- */

/* errno of an earlier failure must not explain a later one, which may set none: hence errno = 0. */

int MPI_File_write_at(MPI_File file, MPI_Offset offset, const void *data, int count, MPI_Datatype type,
                      MPI_Status *status)
{
    MPI_Status own = {0};
    errno = 0;
    return settle_write(PMPI_File_write_at(file, offset, data, count, type, &own), count, type, &own, status);
}

int MPI_File_write_at_all(MPI_File file, MPI_Offset offset, const void *data, int count, MPI_Datatype type,
                          MPI_Status *status)
{
    MPI_Status own = {0};
    errno = 0;
    return settle_write(PMPI_File_write_at_all(file, offset, data, count, type, &own), count, type, &own, status);
}

int MPI_File_read_at(MPI_File file, MPI_Offset offset, void *data, int count, MPI_Datatype type, MPI_Status *status)
{
    MPI_Status own = {0};
    errno = 0;
    return settle_read(PMPI_File_read_at(file, offset, data, count, type, &own), data, count, type, &own, status);
}

int MPI_File_read_at_all(MPI_File file, MPI_Offset offset, void *data, int count, MPI_Datatype type, MPI_Status *status)
{
    MPI_Status own = {0};
    errno = 0;
    return settle_read(PMPI_File_read_at_all(file, offset, data, count, type, &own), data, count, type, &own, status);
}

int MPI_File_set_size(MPI_File file, MPI_Offset size)
{
    errno = 0;
    return settle_plain("set the size", PMPI_File_set_size(file, size));
}

int MPI_File_sync(MPI_File file)
{
    errno = 0;
    return settle_plain("sync", PMPI_File_sync(file));
}

int MPI_File_close(MPI_File *file)
{
    errno = 0;
    int error = PMPI_File_close(file);
    if (error != MPI_SUCCESS) *file = MPI_FILE_NULL;
    return settle_plain("close", error);
}
