"""Class-conditional flow matching in pixel space, trained from scratch."""
