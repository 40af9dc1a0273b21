"""Checks of chapter 2, part 1: the hidden board."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = (
    "utils.boards.evaluate.probe_board",
    "utils.boards.evaluate._Moments",
    "utils.boards.othello.mine_and_theirs",
    "utils.boards.probe.linear_board_probe",
    "utils.linear_solvers.solve_ridge",
    "utils.probes.RidgeProbe",
)

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)


def read_positions(rng, n=60, d_model=7, n_squares=5, n_states=3):
    """Activations off the origin, features of unequal size, states that depend on them and are not equally common."""
    acts = torch.randn(n, d_model, generator=rng) * torch.linspace(0.3, 3, d_model)
    scores = acts @ torch.randn(d_model, n_squares * n_states, generator=rng)
    scores = scores.unflatten(1, (n_squares, n_states)) + torch.randn(n_states, generator=rng)
    return acts + 4, scores.argmax(dim=-1)


def outputs(fitted, acts, n_squares, n_states):
    """What a fitted probe says, in float64."""
    assert isinstance(fitted, (tuple, list)), f"expected (weight, bias), received a {type(fitted).__name__}"
    assert len(fitted) == 2, f"expected (weight, bias), received {len(fitted)} items"
    weight, bias = fitted
    # Zero times the weight is zero: this compares type and shape.
    assert_close(weight * 0, torch.zeros(acts.shape[1], n_squares, n_states), what="weight times 0")
    assert_close(bias * 0, torch.zeros(n_squares, n_states), what="bias times 0")
    return torch.einsum("pd,dsk->psk", acts.double(), weight.double()) + bias.double()


def scikit_learn_ridge(acts, boards, n_states, l2):
    """scikit-learn's (weight, bias) and what they say."""
    x = acts.double().numpy()
    y = np.eye(n_states)[boards.numpy()].reshape(len(x), -1)
    model = Ridge(alpha=l2, solver="svd").fit(x, y)
    shape = (boards.shape[1], n_states)
    return (
        torch.from_numpy(model.coef_.T.copy()).unflatten(1, shape),
        torch.from_numpy(np.asarray(model.intercept_)).unflatten(0, shape),
        torch.from_numpy(model.predict(x)).unflatten(1, shape),
    )


@exercise("fit_board_probe", points=2)
class TestFitBoardProbe:
    def test_by_hand(self, learner):
        """one feature, two squares, three states: slope Σxy / (Σx² + l2) after centring"""
        acts = torch.tensor([[0.0], [0.0], [2.0], [2.0]])
        boards = torch.tensor([[0, 2], [0, 0], [1, 2], [2, 0]])
        # Centred, x is −1, −1, 1, 1: Σx² = 4, and Σxy is −2, 1, 1 on the first square, 0 on the second. With l2 = 4
        # the slopes are an eighth of that, and each line passes through its state's share at x = 1.
        weight, bias = learner.fit_board_probe(acts, boards, 3, 4.0)
        assert_close(weight, torch.tensor([[[-0.25, 0.125, 0.125], [0.0, 0.0, 0.0]]]), what="weight")
        assert_close(bias, torch.tensor([[0.75, 0.125, 0.125], [0.5, 0.0, 0.5]]), what="bias")

    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's Ridge on the one-hot boards, whatever the number of squares and states"""
        for n_squares, n_states, l2 in ((5, 3, 0.1), (3, 5, 100.0), (66, 2, 10.0), (1, 13, 1.0)):
            acts, boards = read_positions(rng, n_squares=n_squares, n_states=n_states)
            fitted = learner.fit_board_probe(acts, boards, n_states, l2)
            says = outputs(fitted, acts, n_squares, n_states)
            weight, bias, expected = scikit_learn_ridge(acts, boards, n_states, l2)
            case = f"with {n_squares} squares, {n_states} states, l2={l2}"
            assert_close(fitted[0], weight, rtol=1e-3, atol=1e-4, what=f"weight {case}")
            assert_close(fitted[1], bias, rtol=1e-3, atol=1e-3, what=f"bias {case}")
            assert_close(says, expected, rtol=1e-3, atol=1e-3, what=f"outputs {case}")

    def test_no_penalty(self, learner, rng):
        """l2 = 0 is allowed: plain least squares with an intercept"""
        acts, boards = read_positions(rng)
        says = outputs(learner.fit_board_probe(acts, boards, 3, 0.0), acts, 5, 3)
        design = np.hstack([acts.double().numpy(), np.ones((len(acts), 1))])
        y = np.eye(3)[boards.numpy()].reshape(len(acts), -1)
        expected = torch.from_numpy(design @ np.linalg.lstsq(design, y, rcond=None)[0]).unflatten(1, (5, 3))
        assert_close(says, expected, rtol=1e-3, atol=1e-3, what="outputs")

    def test_bias_is_free(self, learner, rng):
        """under a huge penalty every output is the share of its state on its square, not zero"""
        acts, boards = read_positions(rng)
        says = outputs(learner.fit_board_probe(acts, boards, 3, 1e9), acts, 5, 3)
        shares = torch.stack([(boards == state).double().mean(dim=0) for state in range(3)], dim=-1)
        assert_close(says, shares.expand_as(says), rtol=1e-3, atol=1e-3, what="outputs")

    def test_sum_over_positions(self, learner, rng):
        """errors are summed: every position three times and three times the penalty give the same probe"""
        acts, boards = read_positions(rng)
        once = learner.fit_board_probe(acts, boards, 3, 20.0)
        thrice = learner.fit_board_probe(acts.repeat(3, 1), boards.repeat(3, 1), 3, 60.0)
        expected = outputs(once, acts, 5, 3)
        assert_close(outputs(thrice, acts, 5, 3), expected, rtol=1e-3, atol=1e-3, what="outputs")

    def test_squares_are_independent(self, learner, rng):
        """a square gets the same probe alone as among others"""
        acts, boards = read_positions(rng)
        weight, bias = learner.fit_board_probe(acts, boards, 3, 5.0)
        alone, alone_bias = learner.fit_board_probe(acts, boards[:, 3:4].clone(), 3, 5.0)
        assert_close(alone, weight[:, 3:4], rtol=1e-3, atol=1e-4, what="weight")
        assert_close(alone_bias, bias[3:4], rtol=1e-3, atol=1e-3, what="bias")

    def test_states_that_never_occur(self, learner, rng):
        """a state that no position shows is still a state: its weight and bias are 0"""
        acts, boards = read_positions(rng)
        boards = torch.where(boards == 2, 4, boards)
        fitted = learner.fit_board_probe(acts, boards, 6, 1.0)
        outputs(fitted, acts, 5, 6)
        never = torch.tensor([2, 3, 5])
        assert_close(fitted[0][:, :, never], torch.zeros(7, 5, 3), what="weight of states 2, 3 and 5")
        assert_close(fitted[1][:, never], torch.zeros(5, 3), what="bias of states 2, 3 and 5")

    def test_few_positions(self, learner, rng):
        """fewer positions than features are enough, thanks to the penalty; even a single one"""
        for n in (6, 1):
            acts, boards = read_positions(rng, n=n, d_model=20)
            says = outputs(learner.fit_board_probe(acts, boards, 3, 1.0), acts, 5, 3)
            *_, expected = scikit_learn_ridge(acts, boards, 3, 1.0)
            assert_close(says, expected, rtol=1e-3, atol=1e-3, what=f"outputs with n={n}")

    def test_large_activations(self, learner, rng):
        """many positions with large activations that are nearly alike lose no digits: solve in float64"""
        small, boards = read_positions(rng, n=3000, n_squares=2)
        acts = small + 500 + 2000 * torch.randn(3000, 1, generator=rng)
        says = outputs(learner.fit_board_probe(acts, boards, 3, 0.1), acts, 2, 3)
        *_, expected = scikit_learn_ridge(acts, boards, 3, 0.1)
        assert_close(says, expected, rtol=0, atol=0.01, what="outputs")

    def test_returns_float32(self, learner, rng):
        """weight and bias are float32, also where the activations are float64"""
        acts, boards = read_positions(rng)
        for dtype in (torch.float32, torch.float64):
            fitted = learner.fit_board_probe(acts.to(dtype), boards, 3, 1.0)
            outputs(fitted, acts, 5, 3)
            for name, part in zip(("weight", "bias"), fitted, strict=True):
                assert part.dtype == torch.float32, f"{name}: expected float32, received {part.dtype}"

    def test_any_integers(self, learner, rng):
        """boards of small integers (int8, int32) are boards too"""
        acts, boards = read_positions(rng)
        expected = outputs(learner.fit_board_probe(acts, boards, 3, 1.0), acts, 5, 3)
        for dtype in INTEGERS:
            says = outputs(learner.fit_board_probe(acts, boards.to(dtype), 3, 1.0), acts, 5, 3)
            assert_close(says, expected, rtol=1e-3, atol=1e-3, what=f"outputs with {dtype} boards")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were, also activations that are float64 already"""
        acts, boards = read_positions(rng)
        for given in (acts, acts.double()):
            before = given.clone(), boards.clone()
            learner.fit_board_probe(given, boards, 3, 1.0)
            assert_close((given, boards), before, what="arguments after the call")

    def test_negative_penalty(self, learner, rng):
        """raises ValueError for a negative l2"""
        acts, boards = read_positions(rng)
        for l2 in (-1.0, -1e-6):
            with pytest.raises(ValueError):
                learner.fit_board_probe(acts, boards, 3, l2)

    def test_state_outside(self, learner, rng):
        """raises ValueError for a state below 0 or above n_states − 1, even a single one"""
        acts, boards = read_positions(rng)
        for state in (-1, 3, 7):
            wrong = boards.clone()
            wrong[4, 2] = state
            with pytest.raises(ValueError):
                learner.fit_board_probe(acts, wrong, 3, 1.0)


def guesses(rng, n=40, n_squares=7, n_states=4):
    """Outputs below 0 without ties, and boards on which the first squares are guessed best."""
    logits = torch.rand(n, n_squares, n_states, generator=rng).argsort(dim=-1).float() - 10
    lucky = torch.rand(n, n_squares, generator=rng) < torch.linspace(0.9, 0.1, n_squares)
    wild = torch.randint(n_states, (n, n_squares), generator=rng)
    return logits, torch.where(lucky, logits.argmax(dim=-1), wild)


@exercise("board_accuracy")
class TestBoardAccuracy:
    def test_by_hand(self, learner):
        """the share of positions where the largest output is the true state's, for each square"""
        logits = torch.tensor(
            [
                [[0.2, 0.7, 0.1], [5.0, 1.0, 2.0], [0.1, 0.2, 0.3]],
                [[0.6, 0.3, 0.1], [1.0, 2.0, 5.0], [0.3, 0.2, 0.1]],
                [[-3.0, -2.0, -1.0], [9.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
                [[0.0, 0.0, 0.4], [0.0, 9.0, 0.0], [1.0, 0.0, 0.0]],
            ]
        )
        # The guesses are 1, 0, 2, 2 on the first square, 0, 2, 0, 1 on the second and 2, 0, 1, 0 on the third.
        boards = torch.tensor([[1, 1, 2], [0, 2, 1], [2, 1, 2], [1, 0, 1]])
        assert_close(learner.board_accuracy(logits, boards), torch.tensor([0.75, 0.25, 0.25]))
        assert_close(
            learner.board_accuracy(logits, boards, (1,)), torch.tensor([0.75, 0.25]), what="without 1"
        )

    def test_exclude(self, learner):
        """leaves out the squares in `exclude`, in whatever order they are named; the others stay in theirs"""
        # Square s is guessed right in s of the five positions, whatever the order of the squares.
        right = torch.tensor([3, 0, 5, 1, 4, 2])
        boards = (torch.arange(5).unsqueeze(1) < right).long()
        logits = torch.tensor([0.1, 0.9]).expand(5, 6, 2).clone()
        for exclude, left in (
            ((), [3, 0, 5, 1, 4, 2]),
            ((1, 3), [3, 5, 4, 2]),
            ((5, 0, 2), [0, 1, 4]),
            ((4, 1, 2, 3), [3, 2]),
        ):
            received = learner.board_accuracy(logits, boards, exclude)
            assert_close(received, torch.tensor(left) / 5, what=f"without {exclude}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over squares and positions"""
        for n_squares, n_states, exclude in ((7, 4, (6, 2)), (3, 13, (0,)), (4, 4, ())):
            logits, boards = guesses(rng, n_squares=n_squares, n_states=n_states)
            expected = []
            for square in range(n_squares):
                if square in exclude:
                    continue
                right = 0
                for position in range(len(boards)):
                    row = logits[position, square].tolist()
                    right += row.index(max(row)) == int(boards[position, square])
                expected.append(right / len(boards))
            received = learner.board_accuracy(logits, boards, exclude)
            assert_close(received, torch.tensor(expected), what=f"{n_squares} squares, {n_states} states")

    def test_only_the_largest_counts(self, learner, rng):
        """only which output is largest matters, not how large it is"""
        logits, boards = guesses(rng)
        expected = learner.board_accuracy(logits, boards, (3,))
        for name, other in (("softmax", logits.softmax(dim=-1)), ("100 added", logits + 100)):
            assert_close(learner.board_accuracy(other, boards, (3,)), expected, what=f"accuracy after {name}")

    def test_more_than_64_squares(self, learner, rng):
        """a board may have more than 64 squares"""
        logits, boards = guesses(rng, n_squares=81)
        every = learner.board_accuracy(logits, boards)
        assert_close(every * 0, torch.zeros(81), what="accuracies times 0")
        kept = [square for square in range(81) if square not in (70, 10)]
        assert_close(learner.board_accuracy(logits, boards, (70, 10)), every[kept], what="without 70 and 10")

    def test_one_position(self, learner):
        """with a single position every accuracy is 0 or 1"""
        logits = torch.tensor([[[1.0, 2.0], [2.0, 1.0], [3.0, 0.0]]])
        received = learner.board_accuracy(logits, torch.tensor([[1, 1, 0]]), (1,))
        assert_close(received, torch.tensor([1.0, 1.0]))
        assert_close(learner.board_accuracy(logits, torch.tensor([[1, 1, 0]])), torch.tensor([1.0, 0.0, 1.0]))

    def test_any_integers(self, learner, rng):
        """boards of small integers (int8, int32) are boards too"""
        logits, boards = guesses(rng)
        expected = learner.board_accuracy(logits, boards, (2,))
        for dtype in INTEGERS:
            received = learner.board_accuracy(logits, boards.to(dtype), (2,))
            assert_close(received, expected, what=f"accuracy with {dtype} boards")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        logits, boards = guesses(rng)
        before = logits.clone(), boards.clone()
        learner.board_accuracy(logits, boards, (5, 1))
        assert_close((logits, boards), before, what="arguments after the call")

    def test_square_outside(self, learner, rng):
        """raises ValueError where `exclude` names a square that is not on the board, −1 too"""
        logits, boards = guesses(rng)
        for exclude in ((7,), (-1,), (0, 63), (-7, 2)):
            with pytest.raises(ValueError):
                learner.board_accuracy(logits, boards, exclude)


@exercise("majority_floor")
class TestMajorityFloor:
    def test_by_hand(self, learner):
        """names each square's commonest training state, and is right on some of the test boards"""
        train = torch.tensor([[0, 2, 1], [0, 2, 0], [1, 1, 1]])
        # The commonest are 0, 2 and 1.
        test = torch.tensor([[0, 0, 1], [0, 2, 1], [1, 0, 1], [0, 1, 1]])
        assert_close(learner.majority_floor(train, test), torch.tensor([0.75, 0.25, 1.0]))

    def test_learned_on_training_boards(self, learner):
        """what is common on the test boards does not matter, however many they are"""
        train, test = torch.tensor([[1, 0], [1, 0]]), torch.tensor([[2, 0]] * 9 + [[1, 1]])
        assert_close(learner.majority_floor(train, test), torch.tensor([0.1, 0.9]))

    def test_tie(self, learner):
        """on a tie the lower state is named, whichever comes first"""
        train = torch.tensor([[2, 1, 0, 5], [1, 2, 2, 3], [1, 0, 0, 5], [2, 2, 2, 3], [0, 1, 1, 4]])
        test = torch.tensor([[1, 1, 0, 3], [1, 1, 0, 3], [2, 2, 2, 5]])
        assert_close(learner.majority_floor(train, test), torch.tensor([2, 2, 2, 2]) / 3)

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with counting square by square, whatever the number of squares and states"""
        for n_squares, n_states in ((5, 3), (70, 3), (6, 13)):
            train = torch.randint(n_states, (25, n_squares), generator=rng)
            test = torch.randint(n_states, (40, n_squares), generator=rng)
            train[:15, 0] = n_states - 1
            test[:20] = train[:20]
            expected = []
            for square in range(n_squares):
                seen = train[:, square].tolist()
                commonest = max(range(n_states), key=seen.count)
                expected.append(test[:, square].tolist().count(commonest) / 40)
            received = learner.majority_floor(train, test)
            assert_close(received, torch.tensor(expected), what=f"{n_squares} squares, {n_states} states")

    def test_squares_are_independent(self, learner, rng):
        """each square has its own majority: alone or among others it gets the same accuracy"""
        train = torch.randint(3, (21, 6), generator=rng)
        test = torch.randint(3, (30, 6), generator=rng)
        expected = learner.majority_floor(train, test)
        for square in range(6):
            alone = learner.majority_floor(
                train[:, square : square + 1].clone(), test[:, square : square + 1].clone()
            )
            assert_close(alone, expected[square : square + 1], what=f"accuracy of square {square} alone")

    def test_one_training_board(self, learner, rng):
        """one training board is its own majority"""
        test = torch.randint(3, (8, 5), generator=rng)
        expected = (test == test[2]).double().mean(dim=0)
        assert_close(learner.majority_floor(test[2:3].clone(), test), expected)

    def test_any_integers(self, learner, rng):
        """boards of small integers (int8, int32) are boards too"""
        # So many boards that the count of the commonest state does not fit into an int8.
        train = torch.randint(3, (300, 4), generator=rng)
        train[:180] = 2
        test = torch.randint(3, (40, 4), generator=rng)
        expected = learner.majority_floor(train, test)
        for dtype in INTEGERS:
            received = learner.majority_floor(train.to(dtype), test.to(dtype))
            assert_close(received, expected, what=f"accuracy with {dtype} boards")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        train = torch.randint(3, (9, 4), generator=rng)
        test = torch.randint(3, (7, 4), generator=rng)
        before = train.clone(), test.clone()
        learner.majority_floor(train, test)
        assert_close((train, test), before, what="arguments after the call")

    def test_other_squares(self, learner):
        """raises ValueError where the two have different squares, also where one has a single square"""
        for n_train, n_test in ((4, 5), (5, 4), (1, 3), (3, 1)):
            with pytest.raises(ValueError):
                learner.majority_floor(
                    torch.zeros(6, n_train, dtype=torch.long), torch.zeros(6, n_test, dtype=torch.long)
                )


def games(rng, n_games=3, n_moves=5, n_squares=7):
    """Boards, and who moves next: at random, since a player may have to pass."""
    boards = torch.randint(3, (n_games, n_moves, n_squares), generator=rng)
    return boards, torch.randint(1, 3, (n_games, n_moves), generator=rng)


@exercise("relative_board")
class TestRelativeBoard:
    def test_by_hand(self, learner):
        """0 empty, 1 a disc of the player to move, 2 a disc of the other"""
        boards = torch.tensor([[[0, 1, 2, 2], [1, 1, 0, 2]]])
        # Black moves next after the first move, white after the second.
        expected = torch.tensor([[[0, 1, 2, 2], [2, 2, 0, 1]]])
        assert_close(learner.relative_board(boards, torch.tensor([[1, 2]])), expected)

    def test_each_move_of_each_game(self, learner):
        """each move of each game has its own player, also where one plays twice in a row"""
        boards = torch.tensor([1, 2, 0]).expand(3, 3, 3).clone()
        to_move = torch.tensor([[2, 1, 1], [1, 2, 1], [2, 2, 2]])
        black, white = [1, 2, 0], [2, 1, 0]
        expected = [[white, black, black], [black, white, black], [white, white, white]]
        assert_close(learner.relative_board(boards, to_move), torch.tensor(expected))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with asking of every disc whose it is"""
        for shape in ((3, 5, 7), (4, 4, 4), (1, 1, 66)):
            boards, to_move = games(rng, *shape)
            expected = torch.zeros_like(boards)
            for game, move, square in np.ndindex(*shape):
                disc = int(boards[game, move, square])
                if disc:
                    expected[game, move, square] = 1 if disc == int(to_move[game, move]) else 2
            assert_close(learner.relative_board(boards, to_move), expected, what=f"boards of shape {shape}")

    def test_colours_swapped(self, learner, rng):
        """black and white exchanged everywhere, on the board and in `to_move`, change nothing"""
        boards, to_move = games(rng)
        swapped = torch.tensor([0, 2, 1])[boards]
        expected = learner.relative_board(boards, to_move)
        assert_close(learner.relative_board(swapped, 3 - to_move), expected, what="with colours exchanged")

    def test_empty_board(self, learner):
        """empty squares stay empty, whoever moves"""
        boards = torch.zeros(2, 2, 3, dtype=torch.long)
        assert_close(learner.relative_board(boards, torch.tensor([[1, 2], [2, 1]])), boards)

    def test_any_integers(self, learner, rng):
        """boards and `to_move` of small integers (int8, int32) will do, also of two kinds"""
        boards, to_move = games(rng)
        expected = learner.relative_board(boards, to_move)
        for one, other in zip(INTEGERS, INTEGERS[::-1], strict=True):
            for kinds in ((one, one), (one, other)):
                received = learner.relative_board(boards.to(kinds[0]), to_move.to(kinds[1]))
                assert_close(received, expected, what=f"with {kinds[0]} boards and {kinds[1]} to_move")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        boards, to_move = games(rng)
        before = boards.clone(), to_move.clone()
        learner.relative_board(boards, to_move)
        assert_close((boards, to_move), before, what="arguments after the call")

    def test_nobody_to_move(self, learner, rng):
        """raises ValueError for a `to_move` other than 1 or 2, even a single one, even over an empty board"""
        boards, to_move = games(rng)
        with pytest.raises(ValueError):
            learner.relative_board(boards, torch.full_like(to_move, 3))
        for other in (3, 0, -1):
            wrong = to_move.clone()
            wrong[1, 2] = other
            for given in (boards, torch.zeros_like(boards)):
                with pytest.raises(ValueError):
                    learner.relative_board(given, wrong)
