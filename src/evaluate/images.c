#include "images.h"

enum iddpm_status images_check(const struct model *model, const struct dataset *data, uint64_t images)
{
    int size = model->unet.image_size;
    if (data->height != size || data->width != size || data->channels != model->channels)
        return iddpm_error(IDDPM_USAGE,
                           "%s has images of %dx%d pixels and %d channels, but the model of %s is for %dx%d "
                           "and %d",
                           data->folder, data->width, data->height, data->channels, model->path, size, size,
                           model->channels);
    if (images > data->images)
        return iddpm_error(IDDPM_USAGE, "%s has only %llu images, not %llu", data->folder,
                           (unsigned long long)data->images, (unsigned long long)images);
    if (model->unet.num_classes > 0 && data->classes == 0)
        return iddpm_error(IDDPM_USAGE, "%s has no labels, which the class-conditional model of %s needs", data->folder,
                           model->path);
    return IDDPM_OK;
}

enum iddpm_status images_check_labels(const struct model *model, const char *name, uint64_t n, const int64_t *labels)
{
    int classes = model->unet.num_classes;
    for (uint64_t i = 0; i < n && classes > 0; i++)
        if (labels[i] < 0 || labels[i] >= classes)
            return iddpm_error(IDDPM_USAGE,
                               "%s: an image has label %lld, but the class-conditional model of %s needs 0 to %d", name,
                               (long long)labels[i], model->path, classes - 1);
    return IDDPM_OK;
}

enum iddpm_status images_read(const struct model *model, const struct dataset *data, struct batch batch,
                              uint8_t *pixels, int64_t *labels, double *x, double *low_res)
{
    if (batch.n == 0) return IDDPM_OK;
    watchdog_at("reading images", -1);
    TRY(dataset_read(data, batch.first, (uint64_t)batch.n, pixels, labels));
    TRY(images_check_labels(model, data->folder, (uint64_t)batch.n, labels));
    pixels_to_signal((size_t)batch.n * model->image, pixels, x);
    const struct unet_options *unet = &model->unet;
    for (size_t i = 0; i < (size_t)batch.n && low_res && unet->super_res > 0; i++)
        signal_area_average(unet->image_size, unet->in_channels, x + i * model->image, unet->super_res,
                            low_res + i * low_res_elements(unet));
    return IDDPM_OK;
}
