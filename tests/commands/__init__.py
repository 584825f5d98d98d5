"""A package, because insight/ has a test_doctor.py too."""
