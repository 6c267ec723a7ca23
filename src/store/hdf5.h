/* What the files of src/store share about HDF5: ids that close themselves, errors as one message, array types. */
#ifndef IDDPM_STORE_HDF5_H
#define IDDPM_STORE_HDF5_H

#include "iddpm/store.h"

#include <hdf5.h>

/* An id that is released when it leaves its scope; not for files, whose closing can fail, nor for predefined types. */
#define HID __attribute__((cleanup(hdf5_release))) hid_t
void hdf5_release(hid_t *id);

/* Before the first HDF5 call of every public function: HDF5 neither prints errors nor cleans up after main (it does so
 * in MPI_Finalize). Cheap. */
void hdf5_start(void);

/* "<path>: cannot <what>: <cause by HDF5's error stack>"; empties that stack. Returns IDDPM_FAILED. */
enum iddpm_status hdf5_error(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* File access with the 1.8 format: its headers carry checksums, and attributes may be longer than 64 KiB. */
hid_t hdf5_access(void);
/* Creation of files, and below of data sets: without times, so that equal contents make equal bytes. */
hid_t hdf5_file_properties(void);

/* Opens an existing file for reading only, without locks: every file here is replaced whole, never changed. */
enum iddpm_status hdf5_open(hid_t *file, const char *path);

/* In memory and in the file: this machine's own numbers. */
hid_t hdf5_type(enum store_type type);
const char *hdf5_type_name(enum store_type type);
bool hdf5_find_type(hid_t id, enum store_type *out); /* false when `id` is none of them */

/* Bounds of ndim and dims, and a size in bytes that can be addressed. */
enum iddpm_status store_array_check(const char *file, const struct store_array *array);
/* "float32 [128][3][3][3]" into out[STORE_SHAPE_TEXT] */
#define STORE_SHAPE_TEXT 128
const char *store_shape_text(const struct store_array *array, char *out);

/* Contiguous, allocated at once, never filled. */
hid_t hdf5_create_properties(void);
/* A data set for `array` with those properties, and the groups on its path. -1 on failure. */
hid_t hdf5_create_dataset(hid_t file, const struct store_array *array);
/* Type and shape of an open data set; false when it is nothing that a store_array describes. */
bool hdf5_describe(hid_t dataset, struct store_array *out);

/* Blocks on the disk for all that an open file has room for, so that a full disk shows before the work. */
enum iddpm_status store_reserve(int fd, const char *path);
/* fsync of the folder that holds `path`, after a rename to it. */
enum iddpm_status store_sync_folder_of(const char *path);

/* Attributes; -1 on failure, as HDF5's own calls. */
int hdf5_write_attribute(hid_t object, const struct store_attribute *attribute);
/* Text of any length, malloc'ed. */
int hdf5_read_text(hid_t object, const char *name, char **out);
int hdf5_read_value(hid_t object, const char *name, hid_t memory_type, void *out);

#endif
