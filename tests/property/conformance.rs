//! The checks of `flowkit::testing` on every entry of the table: one test for each.

use flowkit::testing::Check;

use crate::table::check_all;

#[test]
fn shapes_are_as_announced() {
    check_all(Check::Shapes);
}

#[test]
fn nothing_overflows_at_extremes() {
    check_all(Check::Finite);
}

#[test]
fn inputs_come_back() {
    check_all(Check::RoundTrip);
}

#[test]
fn log_dets_are_those_of_jacobians() {
    check_all(Check::LogDet);
}

#[test]
fn gradients_are_those_of_differences() {
    check_all(Check::Gradients);
}

#[test]
fn every_parameter_is_trained() {
    check_all(Check::Training);
}

#[test]
fn valid_modules_compute_the_same() {
    check_all(Check::Evaluation);
}

#[test]
fn examples_do_not_see_each_other() {
    check_all(Check::Independence);
}

#[test]
fn float32_is_float64_rounded() {
    check_all(Check::Precision);
}

#[test]
fn records_come_back_bit_for_bit() {
    check_all(Check::Records);
}

#[test]
fn moves_keep_parameters() {
    check_all(Check::Moves);
}

#[test]
fn replays_give_the_gradients_of_plain_autodiff() {
    check_all(Check::Replay);
}

#[test]
fn starts_pass_on_what_forward_gives() {
    check_all(Check::Initialization);
}

#[test]
fn draws_repeat() {
    check_all(Check::Repeats);
}

#[test]
fn visited_layers_make_the_forward_pass() {
    check_all(Check::Layers);
}

/// A test for each check.
#[test]
fn no_check_is_left_out() {
    let own = include_str!("conformance.rs");
    for check in Check::ALL {
        assert!(own.contains(&format!("check_all(Check::{check:?})")), "{check:?}");
    }
}
