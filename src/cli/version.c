/* iddpm --version. Where a library tells its version at run time, that is shown: shared libraries get replaced. MPI and
 * HDF5 are called only in rooms below, so theirs are those of the build. */
#include "cli.h"

#include "iddpm/kernels.h"

#include <cblas.h>
#include <hdf5.h>
#include <jpeglib.h>
#include <libdeflate.h>
#include <png.h>
#include <yaml.h>
#include <zlib.h>

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)

static void print_mpi(void)
{
#ifdef OPEN_MPI
    printf("  Open MPI   %d.%d.%d\n", OMPI_MAJOR_VERSION, OMPI_MINOR_VERSION, OMPI_RELEASE_VERSION);
#endif
    printf("  MPI        standard %d.%d\n", MPI_VERSION, MPI_SUBVERSION);
}

enum iddpm_status cli_print_version(const struct cli *cli)
{
    TRY(kernels_select(cli->isa));
    printf("iddpm " IDDPM_VERSION "\n");
    print_mpi();
    printf("  HDF5       %d.%d.%d\n", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
    printf("  OpenBLAS   %s\n", openblas_get_config());
    printf("  libyaml    %s\n", yaml_get_version_string());
    printf("  zlib       %s\n", zlibVersion());
    printf("  libdeflate %s\n", LIBDEFLATE_VERSION_STRING);
    printf("  libpng     %s\n", png_get_libpng_ver(NULL));
#ifdef LIBJPEG_TURBO_VERSION
    printf("  libjpeg    %d, turbo " TEXT(LIBJPEG_TURBO_VERSION) "\n", JPEG_LIB_VERSION);
#else
    printf("  libjpeg    %d\n", JPEG_LIB_VERSION);
#endif
    printf("  kernels    %s\n", kernels_isa());
    return IDDPM_OK;
}
