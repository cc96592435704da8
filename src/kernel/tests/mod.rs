//! Kernels of networks on slices, in every instruction set and for any number of threads.

mod conv2d;
mod pointwise;
mod samples;
