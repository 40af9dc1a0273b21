"""Small tables and generated sentences, with the code that made them."""

from utils.datasets.cities import load_cities
from utils.datasets.concepts import CONCEPTS, ConceptPair, concept_pairs, concept_words
from utils.datasets.grammar import ParsedSentence, generate_sentences, gold_edges, tree_depths, tree_distances
from utils.datasets.mentions import Mention, city_mentions
from utils.datasets.questions import QUESTION_KINDS, Question, either_or_questions
from utils.datasets.reviews import BLAME, PRAISE, REVIEW_KINDS, ReviewPair, load_review_pairs
from utils.datasets.statements import load_geometry_of_truth, load_statements, statement_sets

__all__ = [
    "BLAME",
    "CONCEPTS",
    "PRAISE",
    "QUESTION_KINDS",
    "REVIEW_KINDS",
    "ConceptPair",
    "Mention",
    "ParsedSentence",
    "Question",
    "ReviewPair",
    "city_mentions",
    "concept_pairs",
    "concept_words",
    "either_or_questions",
    "generate_sentences",
    "gold_edges",
    "load_cities",
    "load_geometry_of_truth",
    "load_review_pairs",
    "load_statements",
    "statement_sets",
    "tree_depths",
    "tree_distances",
]
