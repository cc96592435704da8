//! Image sets: what a flow is trained on.
