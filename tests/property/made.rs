//! What depends on what in a masked network, by its Jacobian.

use burn::tensor::{DType, Device, Tensor};
use flowkit::{
    Activation, AutoregressiveNet, ContextShape, Made, MadeConfig, Net, NetConfig, NetSite, Order,
};

use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::testing::parameters::change;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Numbers of the vector, parameters of each, numbers of the condition.
const SIZES: [usize; 3] = [5, 3, 2];

/// A network of which no parameter is 0, so that a path that exists is seen.
fn net(order: Order, hidden: Vec<usize>, d_context: Option<usize>) -> Made {
    let [dims, n_params, _] = SIZES;
    let config = MadeConfig::new(hidden).with_order(order).with_activation(Activation::Tanh);
    let site = NetSite::new([1, dims], [1, dims], vec![0.0; n_params], &device());
    let site = site.with_context(ContextShape::vector(d_context));
    let _guard = device_rng();
    change(config.build(&site).unwrap(), DType::F64, |index, old| {
        normal(7 + index as u64, old.len(), 1.0)
    })
}

/// Whether parameters of each number depend on each number of `leaf`, by autodiff:
/// `[number][number of the leaf]`.
fn depends(theta: impl Fn(Tensor<2>) -> Tensor<3>, leaf: &Tensor<2>) -> Vec<Vec<bool>> {
    let [dims, n_params, _] = SIZES;
    let row = |number: usize| {
        let mut seen = vec![false; leaf.dims()[1]];
        for parameter in 0..n_params {
            let leaf = leaf.clone().detach().require_grad();
            let output =
                theta(leaf.clone()).slice([0..1, parameter..parameter + 1, number..number + 1]);
            let gradients = output.sum().backward();
            let gradient =
                leaf.grad(&gradients).map(|gradient| elements(&gradient)).unwrap_or_default();
            seen.iter_mut().zip(gradient).for_each(|(seen, value)| *seen |= value != 0.0);
        }
        seen
    };
    (0..dims).map(row).collect()
}

#[test]
fn parameters_depend_on_the_numbers_before_and_on_all_of_them() {
    let [dims, _, d_context] = SIZES;
    let draw = |n: usize, seed| tensor(normal(seed, n, 1.0), [1, n], DType::F64, &device());
    let (x, context) = (draw(dims, 1), draw(d_context, 2));
    // The widths leave no degree out; 16 and 9 are no multiples of the number of degrees.
    for order in [Order::Natural, Order::Reversed, Order::Shuffled { seed: 5 }] {
        for hidden in [vec![], vec![16], vec![16, 9, 16]] {
            let plain = net(order.clone(), hidden.clone(), None);
            let places = plain.order();
            let place = |number: usize| places.iter().position(|&other| other == number).unwrap();
            let strictly_triangular = |seen: &[Vec<bool>]| {
                for (number, row) in seen.iter().enumerate() {
                    for (other, &seen) in row.iter().enumerate() {
                        let before = place(other) < place(number);
                        assert_eq!(
                            seen, before,
                            "{order:?} {hidden:?}: parameters of {number}, number {other}"
                        );
                    }
                }
            };
            strictly_triangular(&depends(|x| plain.forward(x, None), &x));
            let given = net(order.clone(), hidden.clone(), Some(d_context));
            strictly_triangular(&depends(|x| given.forward(x, Some(context.clone())), &x));
            // Every number's parameters see the condition, the first number's too.
            let seen = depends(|context| given.forward(x.clone(), Some(context)), &context);
            assert!(seen.iter().flatten().all(|&seen| seen), "{order:?} {hidden:?}: {seen:?}");
        }
    }
}

#[test]
fn orders_are_permutations_and_repeat() {
    assert_eq!(Order::Natural.indices(4), [0, 1, 2, 3]);
    assert_eq!(Order::Reversed.indices(4), [3, 2, 1, 0]);
    let shuffled = |seed| Order::Shuffled { seed }.indices(20);
    assert_eq!(shuffled(1), shuffled(1));
    assert_ne!(shuffled(1), shuffled(2));
    let mut sorted = shuffled(1);
    sorted.sort_unstable();
    assert_eq!(sorted, Order::Natural.indices(20));
}
