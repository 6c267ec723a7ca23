/* Private: the index of a data set, FOLDER/index.json. It is written last, so a folder without it is no data set. JSON
 * for people and other programs; read by libyaml, of whose language it is a part. */
#ifndef IDDPM_DATA_INDEX_H
#define IDDPM_DATA_INDEX_H

#include "iddpm/data.h"

#define INDEX_FILE "index.json"

/* Writes the index of `dataset` to its folder, atomically. */
enum iddpm_status index_write(const struct dataset *dataset);
/* Fills everything but dataset->folder, which is given, from the index's text. What was filled before an error is
 * released with the data set. */
enum iddpm_status index_parse(struct dataset *dataset, const char *text);
/* Room for the arrays of n shards, all empty; sets dataset->shards. */
enum iddpm_status dataset_reserve_shards(struct dataset *dataset, int n);
/* Opens shard s and compares it with what the index says. */
enum iddpm_status dataset_open_shard(const struct dataset *dataset, int s, struct shard **out);
size_t dataset_image_bytes(const struct dataset *dataset);

#endif
