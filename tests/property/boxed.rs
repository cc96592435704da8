//! What is in a box can be taken out.

use burn::tensor::{Device, Tensor};
use flowkit::testing::elements::elements;
use flowkit::{Bijector, BoxBijector};

#[test]
fn a_box_gives_back_what_is_inside() {
    let boxed = BoxBijector::<2>::new(flowkit::Sigmoid::new());
    assert!(boxed.downcast_ref::<flowkit::Sigmoid>().is_some());
    assert!(boxed.downcast_ref::<flowkit::Swap>().is_none());
    assert!(!boxed.to_string().is_empty());
    let x = Tensor::<2>::from_data([[0.0]], &Device::flex());
    assert_eq!(elements(&boxed.forward(x, &()).0), [0.5]);
}
