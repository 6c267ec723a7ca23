/* Networks of the reference files: built from a `config` attribute, filled by the rule, run on its inputs. */
#ifndef TEST_NETWORK_H
#define TEST_NETWORK_H

#include "iddpm/models.h"
#include "json.h"

/* The authors' constructor call (attention resolutions are downsampling rates there), with the kernels that the
 * environment's IDDPM_CONV asks for. */
struct unet_options network_options(const struct json *config);
/* A finished network with parameters by the rule; *params (free()) must live as long as it. Ends the test on failure.
 */
struct net *network_create(const struct unet_options *options, int batch, enum net_mode mode, bool input_grad,
                           float **params);
/* Gives a finished network parameters by the rule; params[net_flat_size] must live as long as it. */
void network_fill(struct net *net, float *params);
/* [n][c][h][w] in double into the network's input k. */
void network_set_input(struct net *net, int k, int n, int c, size_t hw, const double *x);

/* Dot (with its probe) and norm of each parameter tensor in a flat array. With `heads`, the key part of every qkv.bias
 * counts as zero: its true gradient is zero, and Adam makes steps of rounding noise. */
void network_probes(const struct net *net, const float *flat, int heads, double *dot, double *norm);

#endif
