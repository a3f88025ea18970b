"""Addresses of the lecture's pages."""

from django.urls import path

from lecture.views import comparison, next_word, sizes, teaching, words

urlpatterns = [
    path("", next_word.page, name="lecture"),
    path("live/", next_word.live_part, name="lecture_live"),
    path("comparison/", comparison.comparison, name="lecture_comparison"),
    path("words/", words.words_page, name="lecture_words"),
    path("sizes/", sizes.sizes_page, name="lecture_sizes"),
    path("teach/", teaching.teach, name="teach_lecture"),
]
